"""The package as its users have it: without torch, and without Pillow."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import vae_fidelity
from vae_fidelity import reports

ROOT = Path(__file__).parents[3]
PHOTO = ROOT / "golden/images/astronaut.png"


@pytest.fixture(scope="module")
def builtin():
    return vae_fidelity.Pipeline("builtin")


@pytest.fixture(scope="module")
def pixels():
    return vae_fidelity.preprocess(PHOTO, width=64, height=64)


def command(*arguments, **how):
    return subprocess.run([Path(sys.executable).with_name("vae-fidelity"), *arguments], capture_output=True, text=True, **how)


def test_neither_torch_nor_pillow_is_there():
    for package in ("torch", "PIL"):
        with pytest.raises(ImportError):
            __import__(package)


def test_the_report_is_the_command_s(tmp_path, builtin):
    out = tmp_path / "decoded.png"
    printed = command("check", PHOTO, "--json", "--out", out)
    assert printed.returncode == 0, printed.stderr
    of_command, report = json.loads(printed.stdout), builtin.check(PHOTO)
    of_library = report.to_dict()
    for differs in ("timings_ms", "peak_rss_bytes"):
        del of_command[differs], of_library[differs]
    del of_command["decoded"]["path"]
    # These name parameters in the library, and flags in the command.
    assert of_library.pop("notes") and of_command.pop("notes")
    undecided = [[each["codes"] for each in of.pop("not_decided")] for of in (of_library, of_command)]
    assert undecided[0] == undecided[1] != []
    assert of_library.pop("decoded").items() >= of_command.pop("decoded").items()
    assert of_library == of_command
    assert report.verdict == "pass" and report.metrics.psnr_db == of_library["metrics"]["psnr_db"]
    assert isinstance(report.model.config, reports.AutoencoderKLConfig)
    assert isinstance(report.latents.scaling, reports.ScalingFactor)
    assert np.array_equal(vae_fidelity.preprocess(out), report.picture)


def test_arrays_are_what_the_report_describes(builtin):
    report = builtin.check(PHOTO, width=64, height=48)
    assert report.seen.shape == report.picture.shape == (48, 64, 3) and report.picture.dtype == np.uint8
    assert report.latents_array.shape == tuple(report.latents.shape)
    assert report.moments_array.shape == (1, 2 * report.latents.shape[1], *report.latents.shape[2:])
    assert report.decoded_array.shape == (1, 3, 48, 64) and report.noise_array is None
    assert np.shares_memory(report.latents_array, report.latents_array) and not report.latents_array.flags.writeable
    latents, copied = report.latents_array, report.latents_array.copy()
    del report
    assert np.array_equal(latents, copied), "an array outlives its report"
    report = builtin.check(PHOTO, width=64, height=48)
    mean = report.moments_array[:, : report.latents.shape[1]] * report.latents.scaling.scaling_factor
    assert np.allclose(mean, report.latents_array, rtol=1e-6)
    assert abs(report.seen.astype(int) - report.picture).max() == report.metrics.max_abs_diff


def test_every_form_of_a_picture_is_the_same(builtin, pixels):
    of_file = builtin.check(PHOTO, width=64, height=64)
    sample = (pixels.transpose(2, 0, 1) / 127.5 - 1).astype(np.float32)
    forms = [str(PHOTO), PHOTO.read_bytes(), pixels, pixels[:, ::-1][:, ::-1], sample, sample[None], sample.astype(np.float64)]
    for form in forms:
        size = {"width": 64, "height": 64} if isinstance(form, (str, bytes)) else {}
        report = builtin.check(form, **size)
        assert report.metrics == of_file.metrics and np.array_equal(report.picture, of_file.picture)
    assert builtin.check(pixels).input.format == "memory" and builtin.check(pixels).input.path == "numpy.ndarray"


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        ("absent.png", "no such file"),
        (b"no picture", "expected an image, found text"),
        (np.zeros((64, 64), np.uint8), "uint8 of shape (64, 64)"),
        (np.zeros((64, 64, 2), np.uint8), "(64, 64, 2)"),
        (np.zeros((3, 60, 64), np.float32), "not resized"),
        (np.full((3, 64, 64), 200, np.float32), "[-1, 1]"),
        (np.full((3, 64, 64), np.nan, np.float32), "[-1, 1]"),
        (np.zeros((2, 3, 64, 64), np.float32), "(2, 3, 64, 64)"),
        (object(), "builtins.object"),
        (None, "builtins.NoneType"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(builtin, picture, says):
    with pytest.raises(vae_fidelity.VaeFidelityError) as raised:
        builtin.check(picture)
    assert says in str(raised.value) and raised.value.next


def test_a_vae_of_rgb_leaves_alpha_out_and_says_so(builtin):
    rgba = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    report = builtin.check(rgba)
    assert "alpha is left out: this VAE takes RGB" in report.notes
    assert report.metrics == builtin.check(np.ascontiguousarray(rgba[..., :3])).metrics
    assert report.picture.shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"width": 64}, "`height`"),
        ({"width": 60, "height": 64}, "multiple of 8"),
        ({"exif": "perhaps"}, "`exif` perhaps"),
        ({"latents_scale": "twice"}, "`latents_scale` twice"),
        ({"width": -8, "height": 8}, "`width` -8"),
        ({"min_psnr": float("nan")}, "`min_psnr` nan"),
        ({"min_ssim": 2}, "at most 1"),
        ({"seed": 5}, "`sample`"),
        ({"seed": 2**64, "sample": True}, "2^64 - 1"),
        ({"latents": object()}, "latent_dist"),
        ({"preprocessed": "absent.npy"}, "preprocessed"),
        ({"latents": np.zeros((1, 16, 8, 8), complex)}, "real numbers"),
        ({"latents_key": "z"}, "without `latents`"),
        ({"latents": np.zeros(3)}, ""),
        ({"baseline": "absent.json"}, "absent.json"),
        ({"frames": 5}, "single pictures"),
        ({"frames": -5}, "`frames` -5"),
    ],
)
def test_wrong_keywords_are_refused_in_words(builtin, pixels, keywords, says):
    if not says:
        assert builtin.check(pixels, **keywords).verdict == "fail"
        return
    with pytest.raises(vae_fidelity.VaeFidelityError) as raised:
        builtin.check(pixels, **keywords)
    assert says in str(raised.value)


def test_wrong_models_are_refused_in_words(tmp_path):
    for keywords, says in [
        ({"repo": tmp_path / "absent"}, "no such file or folder"),
        ({"repo": "a-lab/a-vae", "offline": True}, "cache"),
        ({"dtype": "f64"}, "`dtype` f64"),
        ({"engine": "reference"}, "libtorch"),
        ({"tile_size": 64}, "`tiling`"),
        ({"threads": 0}, "`threads` 0"),
        ({"threads": 2**40}, "4096"),
        ({"repo": object()}, "save_pretrained"),
    ]:
        with pytest.raises(vae_fidelity.VaeFidelityError) as raised:
            vae_fidelity.Pipeline(**keywords)
        assert says in str(raised.value), keywords


def test_findings_of_a_checkpoint_that_cannot_be_loaded(tmp_path):
    model = ROOT / "tests/fixtures/models/eight-channel/vae"
    (tmp_path / "config.json").write_bytes((model / "config.json").read_bytes())
    whole = (model / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(whole[:-64])
    with pytest.raises(vae_fidelity.VaeFidelityError) as raised:
        vae_fidelity.Pipeline(tmp_path)
    assert raised.value.code == "checkpoint"
    assert [finding.code for finding in raised.value.findings], str(raised.value)
    assert vae_fidelity.inspect(tmp_path).verdict == "fail"


def test_memory_that_is_not_there_is_a_memory_error(pixels):
    script = (
        "import numpy, resource, vae_fidelity\n"
        "pipeline = vae_fidelity.Pipeline(threads=1)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (600 << 20,) * 2)\n"
        "try:\n"
        "    pipeline.check(numpy.zeros((3072, 3072, 3), 'u1'))\n"
        "except MemoryError as error:\n"
        "    print(error.code, error.next)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.stdout.startswith("memory "), ran.stdout + ran.stderr
    with pytest.raises(vae_fidelity.VaeFidelityError, match="`max_memory` 1: expected"):
        vae_fidelity.Pipeline(max_memory=1).check(pixels)


def test_latents_and_pictures_of_one_s_own_are_judged(builtin, pixels):
    sound = builtin.check(pixels)
    sample = (pixels.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
    again = builtin.check(pixels, latents=sound.latents_array, decoded_image=sound.picture, preprocessed=sample)
    assert again.verdict == "pass" and len(again.files) == 3
    unscaled = builtin.check(pixels, latents=sound.latents_array / sound.latents.scaling.scaling_factor)
    [finding] = [finding for finding in unscaled.findings if finding.severity == "error"]
    assert finding.code == "scaling-factor-mismatch" and finding.remedy
    raw = builtin.check(pixels, latents=sound.latents_array / sound.latents.scaling.scaling_factor, latents_scale="raw")
    assert raw.verdict == "pass"


def test_a_report_is_pickled_without_its_arrays_and_copied_with_them(builtin, pixels):
    report = builtin.check(pixels)
    restored = pickle.loads(pickle.dumps(report))
    assert type(restored) is vae_fidelity.reports.CheckReport and restored.metrics == report.metrics
    assert copy.deepcopy(report).latents_array is not None


def test_a_clip_goes_through_beside_its_first_frame(tmp_path):
    wan = vae_fidelity.Pipeline(ROOT / "golden/wan/models/wan-small")
    for number, name in enumerate(("astronaut.png", "coffee.jpg", "cmyk.jpg", "rgba.png", "grey.png")):
        (tmp_path / f"{number}-{name}").write_bytes((ROOT / "golden/images" / name).read_bytes())
    size = {"width": 40, "height": 32}
    moving, still = wan.check(tmp_path, frames=5, **size), wan.check(PHOTO, frames=5, **size)
    for report in (moving, still):
        assert report.clip.frames == len(report.clip.metrics) == 5
        assert (report.clip.latents.shape, report.clip.decoded.shape) == ((2, 16, 4, 5), (5, 3, 32, 40))
        assert not any("meet no data" in note for note in report.notes)
    assert (moving.clip.still, still.clip.still) == (False, True)
    assert moving.clip.metrics[0] == still.clip.metrics[0] != moving.clip.metrics[1]
    assert still.clip.metrics[0].psnr_db == still.metrics.psnr_db
    assert '<h2 id="clip">' in moving.to_html()
    with pytest.raises(vae_fidelity.VaeFidelityError, match="one more than a multiple of 4"):
        wan.check(PHOTO, frames=6)
    with pytest.raises(vae_fidelity.VaeFidelityError, match="expected 9 frames, found 5"):
        wan.check(tmp_path, frames=9)


def test_frames_in_memory_are_judged_as_their_files(tmp_path):
    wan = vae_fidelity.Pipeline(ROOT / "golden/wan/models/wan-small")
    size = {"width": 40, "height": 32}
    names = ("astronaut.png", "coffee.jpg", "cmyk.jpg", "rgba.png", "grey.png")
    for number, name in enumerate(names):
        (tmp_path / f"{number}-{name}").write_bytes((ROOT / "golden/images" / name).read_bytes())
    of_files = wan.check(tmp_path, frames=5, **size)
    frames = np.stack([vae_fidelity.preprocess(ROOT / "golden/images" / name, **size) for name in names])
    sample = (frames.transpose(3, 0, 1, 2)[None] / 127.5 - 1).astype(np.float32)
    samples = [sample[:, :, number] for number in range(5)]
    for given in (frames, list(frames), sample, sample[0].swapaxes(0, 1), samples, np.concatenate([frames, frames])):
        report = wan.check(given, frames=5)
        assert len(report.clip.metrics) == 5 and not report.clip.still
        assert np.allclose(report.clip_latents_array, of_files.clip_latents_array, atol=1e-4)
        if isinstance(given, np.ndarray) and given.dtype == np.uint8:
            assert report.clip.metrics == of_files.clip.metrics and report.metrics == of_files.metrics
            assert np.array_equal(report.clip_latents_array, of_files.clip_latents_array)
            assert np.array_equal(report.clip_pictures, of_files.clip_pictures)
    assert report.clip_pictures.shape == (5, 32, 40, 3) and report.clip_latents_array.shape == (2, 16, 4, 5)
    assert report.clip_decoded_array.shape == (5, 3, 32, 40) and report.clip_moments_array.shape == (2, 32, 4, 5)
    assert wan.check(frames[0], frames=5).clip.still
    assert wan.check(frames[0]).clip_pictures is None and wan.check(frames[0]).clip_latents_array is None
    assert wan.check(sample, frames=5).to_html().count("data:image/png") > wan.check(frames[0]).to_html().count("data:image/png")
    for given, asked, problem in (
        (frames[:3], 5, "expected 5 frames, found 3"),
        (frames, None, "expected one picture, found 5"),
        (list(frames), None, "expected one picture, found 5"),
        ([frames[0], frames[1][:16]], 5, r"one size and kind, .*frame 1"),
        ([], 5, "has no frame"),
        ([str(PHOTO)], 5, "found str as frame 0"),
        (frames.astype(np.int32), 5, r"expected uint8 \(T, H, W, 3\)"),
    ):
        with pytest.raises(vae_fidelity.VaeFidelityError, match=problem):
            wan.check(given, frames=asked)


def test_a_draw_is_torch_s_of_that_seed(builtin, pixels):
    drawn = [builtin.check(pixels, sample=True, seed=seed).latents_array for seed in (7, 7, 8)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])
    report = builtin.check(pixels, sample=True)
    assert report.posterior.seed is not None and report.noise_array.shape == report.latents_array.shape


def test_thresholds_and_a_baseline_decide(tmp_path, builtin):
    assert builtin.check(PHOTO, min_psnr=99).verdict == "fail"
    earlier = tmp_path / "earlier.json"
    earlier.write_text(builtin.check(PHOTO).to_json())
    assert builtin.check(PHOTO, baseline=earlier).verdict == "pass"


def test_the_page_is_written_whole(tmp_path, builtin, pixels):
    report = builtin.check(pixels)
    page = report.to_html(tmp_path / "report.html")
    assert page.startswith("<!doctype html>") and (tmp_path / "report.html").read_text("utf-8") == page
    assert os.listdir(tmp_path) == ["report.html"]
    (tmp_path / "kept.html").write_text("old")
    (tmp_path / "kept.html").chmod(0o600)
    (tmp_path / "link.html").symlink_to("kept.html")
    report.to_html(tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink() and (tmp_path / "kept.html").read_text("utf-8") == page
    assert (tmp_path / "kept.html").stat().st_mode & 0o777 == 0o600
    for nowhere in (tmp_path, tmp_path / "absent" / "report.html"):
        with pytest.raises(vae_fidelity.VaeFidelityError):
            report.to_html(nowhere)
    assert sorted(os.listdir(tmp_path)) == ["kept.html", "link.html", "report.html"]
    assert "vae_fidelity.check(" in page and "<iframe srcdoc=" in report._repr_html_()
    assert repr(report).startswith("<Report verdict='pass', psnr_db=") and "verdict  pass" in str(report)


def test_the_page_is_of_the_picture_that_was_judged(tmp_path, builtin):
    picture = tmp_path / "photo.png"
    picture.write_bytes(PHOTO.read_bytes())
    report = builtin.check(picture, width=32, height=32)
    page = report.to_html()
    picture.unlink()
    assert report.to_html() == page


def test_others_read_a_report_while_its_page_is_made(builtin):
    report = builtin.check(np.zeros((512, 512, 3), np.uint8))
    making = threading.Thread(target=report.to_html)
    making.start()
    time.sleep(0.05)
    report.to_json(), report.latents_array, str(report)
    assert making.is_alive(), "the page was waited for"
    making.join()


def test_inspect_compare_and_explain():
    report = vae_fidelity.inspect("builtin")
    assert report.verdict == "pass" and report.tensors and report.config.values["latent_channels"] == 16
    pictures = vae_fidelity.compare(PHOTO, ROOT / "golden/images/astronaut.png")
    assert isinstance(pictures, reports.CompareReportImages) and pictures.metrics.identical
    with pytest.raises(vae_fidelity.VaeFidelityError):
        vae_fidelity.explain("no-such-code")
    assert {cause.code for cause in vae_fidelity.explain()} >= {"passes-nothing", "non-finite-output"}


def test_fields_that_are_new_are_left_out():
    from vae_fidelity._from_json import from_json

    position = from_json(reports.Position, {"x": 1, "y": 2, "channel": "red", "new": 3})
    assert position == reports.Position(x=1, y=2, channel="red")
    assert from_json(reports.Scaling, {"kind": "new"}) == {"kind": "new"}


def test_progress_is_told_and_its_exception_ends_the_call(builtin, pixels):
    told = []
    builtin.check(pixels, progress=told.append)
    assert told[0] == "opening" and "decoding" in told

    def stop(step):
        raise RuntimeError(step)

    with pytest.raises(RuntimeError, match="opening"):
        builtin.check(pixels, progress=stop)
    assert builtin.check(pixels).verdict == "pass", "the pipeline is as it was"


def test_python_goes_on_and_calls_wait_for_their_turn(builtin):
    picture = np.zeros((512, 512, 3), np.uint8)
    counted, done = 0, threading.Event()

    def count():
        nonlocal counted
        while not done.is_set():
            counted += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    both = [threading.Thread(target=builtin.check, args=(picture,)) for _ in range(2)]
    [thread.start() for thread in both]
    [thread.join() for thread in both]
    done.set()
    counter.join()
    assert counted > 20, "the interpreter was held"


def test_ctrl_c_ends_a_long_call():
    script = (
        "import numpy, signal, vae_fidelity\n"
        # What runs in a shell's background has it ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "pipeline = vae_fidelity.Pipeline()\n"
        "try:\n"
        "    pipeline.check(numpy.zeros((2048, 2048, 3), 'u1'), progress=lambda step: print(step, flush=True))\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', pipeline.check(numpy.zeros((64, 64, 3), 'u1')).verdict)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert "opening" in child.stdout.readline() and "encoding" in child.stdout.readline()
    child.send_signal(signal.SIGINT)
    # It ends at the next layer, whose length is the machine's affair: this is for a call that never ends.
    rest, _ = child.communicate(timeout=900)
    assert "interrupted pass" in rest and "judging" not in rest


def test_memory_after_many_checks_is_what_it_was():
    script = (
        "import os, pathlib, vae_fidelity\n"
        "def resident():\n"
        "    return int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        "pipeline = vae_fidelity.Pipeline()\n"
        f"pixels = vae_fidelity.preprocess({str(PHOTO)!r}, width=64, height=64)\n"
        "for checks in range(1, 106):\n"
        "    pipeline.check(pixels).latents_array\n"
        "    if checks == 5: before = resident()\n"
        "print(resident() - before)\n"
    )
    grown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert int(grown) < 8 << 20


def test_the_command_is_the_same_program(tmp_path):
    version = command("--version")
    assert vae_fidelity.__version__ in version.stdout and "engines  fast" in version.stdout
    missed = command("check", PHOTO, "--min-psnr", "99", "--out", tmp_path / "o.png")
    assert missed.returncode == 1
    refused = command("check", "absent.png")
    assert refused.returncode == 2 and "no such file" in refused.stderr
    as_module = subprocess.run([sys.executable, "-m", "vae_fidelity", "explain", "passes-nothing"], capture_output=True, text=True)
    assert as_module.returncode == 0 and "passes-nothing" in as_module.stdout


def test_latents_are_decoded_without_their_picture(tmp_path, builtin, pixels):
    made = builtin.check(pixels)
    latents = made.latents_array
    [decoded] = builtin.decode(latents, decoded_image=made.picture)
    assert decoded.verdict == "pass" and np.array_equal(decoded.picture, made.picture)
    assert np.array_equal(decoded.decoded_array, made.decoded_array) and decoded.files[0].agreement == "same"
    assert json.loads(decoded.to_json())["verdict"] == "pass" and "verdict  pass" in str(decoded)
    both = builtin.decode(np.concatenate([latents, latents[..., ::-1]]))
    assert [each.row for each in both] == [0, 1] and np.array_equal(both[0].picture, made.picture)
    unscaled = latents / made.latents.scaling.scaling_factor
    [wrong] = builtin.decode(unscaled * 3)
    assert wrong.verdict == "fail" and repr(wrong).startswith("<Decoded verdict='fail'")
    [right] = builtin.decode(unscaled, latents_scale="raw")
    assert right.verdict == "pass"
    [none] = builtin.decode(np.zeros((1, 5, 8, 8)))
    assert none.verdict == "fail" and none.picture is None
    np.save(tmp_path / "latents.npy", latents)
    [of_file] = builtin.decode(tmp_path / "latents.npy")
    assert np.array_equal(of_file.picture, made.picture) and of_file.latents_file.path.endswith("latents.npy")
    assert builtin.check(pixels, latents=tmp_path / "latents.npy").files[0].agreement == "same"
    with pytest.raises(vae_fidelity.VaeFidelityError, match="`decoded_image`"):
        builtin.decode(np.concatenate([latents, latents]), decoded_image=made.picture)
    with pytest.raises(vae_fidelity.VaeFidelityError, match="`latents_key`"):
        builtin.decode(latents, latents_key="z")


def test_a_probe_needs_no_picture(builtin):
    steps = []
    report = builtin.probe(size=128, progress=steps.append)
    assert report.schema_version == 1 and report.model.source == "builtin" and len(steps) > 3
    with pytest.raises(vae_fidelity.VaeFidelityError, match="100"):
        builtin.probe(size=100)


def test_a_data_set_is_evaluated_as_by_the_command(tmp_path, pixels):
    data = tmp_path / "data"
    data.mkdir()
    (data / "photo.png").write_bytes(PHOTO.read_bytes())
    (data / "none.png").write_text("none")
    said = []
    found = vae_fidelity.evaluate(data, out=tmp_path / "out", protocol="vae-fidelity-256", progress=said.append)
    assert said[-1] == "2 of 2 pictures"
    assert (found.pictures, found.errors, found.failures[0].id) == (2, 1, "none.png")
    assert found.protocol.choices.metrics.psnr_values == "rounded"
    assert found.left_out == ["lpips_alex", "lpips_vgg", "lpips_squeeze", "dists", "rfid"]
    assert json.loads(found.to_json()) == json.loads((tmp_path / "out/result.json").read_text())
    assert "photo.png" in (tmp_path / "out/report.html").read_text()
    ran = command("evaluate", data, "--out", tmp_path / "ran", "--protocol", "vae-fidelity-256", "--json")
    assert ran.returncode == 2
    of_command = json.loads(ran.stdout)
    for result in (of_command, own := json.loads(found.to_json())):
        result.pop("run")
    assert own == of_command
    assert str(found).startswith(command("evaluate", data, "--out", tmp_path / "ran", "--protocol", "vae-fidelity-256").stdout[:40])


def test_shards_are_put_together(tmp_path):
    data = ROOT / "golden/images"
    pipelines = [vae_fidelity.Pipeline("builtin", threads=1), vae_fidelity.Pipeline("golden/models/builtin", threads=2)]
    shards = [
        vae_fidelity.evaluate(data, pipelines, out=tmp_path / f"{at}", protocol="vae-fidelity-256", shard=f"{at}/2").out
        for at in range(2)
    ]
    merged = vae_fidelity.merge(reversed(shards), out=tmp_path / "merged", min_psnr=90)
    whole = vae_fidelity.evaluate(data, pipelines, out=tmp_path / "whole", protocol="vae-fidelity-256")
    assert (merged.verdict, whole.verdict) == ("fail", "pass")
    assert merged.models == whole.models and merged.comparisons == whole.comparisons
    assert (merged.out / "rows.parquet").read_bytes() == (whole.out / "rows.parquet").read_bytes()
    for wrong in (shards[:1], [shards[0], shards[0]]):
        with pytest.raises(vae_fidelity.VaeFidelityError):
            vae_fidelity.merge(wrong, out=tmp_path / "wrong")
    with pytest.raises(vae_fidelity.VaeFidelityError, match="one of the shards"):
        vae_fidelity.merge(shards, out=shards[0])
    with pytest.raises(vae_fidelity.VaeFidelityError, match="given before"):
        vae_fidelity.evaluate(data, [pipelines[0]] * 2, out=tmp_path / "twice")


def test_why_two_results_differ(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ("astronaut.png", "coffee.jpg"):
        (data / name).write_bytes((ROOT / "golden/images" / name).read_bytes())
    a, b = (vae_fidelity.evaluate(data, out=tmp_path / of, protocol=of) for of in ("vae-fidelity-256", "lavinal712"))
    said = []
    gap = vae_fidelity.explain_gap(a, b, sample=2, progress=said.append)
    assert said[0] == "listing the data sets" and said[-1].endswith(" trips")
    ran = command("explain-gap", tmp_path / "vae-fidelity-256", tmp_path / "lavinal712/result.json", "--sample", "2", "--json")
    assert gap.to_json() == ran.stdout.strip() and gap.sampled == 2
    assert (gap.verdict == "pass") == (ran.returncode == 0)
    of_ssim = {choice.choice for metric in gap.metrics if metric.metric == "ssim" for choice in metric.effects}
    assert "metrics.ssim.window" in of_ssim, of_ssim
    # By folders, and by the VAE and the data set that are given.
    pipeline = vae_fidelity.Pipeline("golden/models/builtin")
    for repo in (pipeline, [pipeline, copy.copy(pipeline)], [pipeline, "builtin"]):
        again = vae_fidelity.explain_gap(a.out, b.out / "result.json", repo=repo, data=data, sample=2)
        assert again.metrics == gap.metrics and str(again) == str(gap)
    for wrong, about in (
        ({"model_b": 1}, "model_b"),
        ({"model_a": -1}, "from 0"),
        ({"sample": 0}, "at least 1"),
        ({"data": PHOTO}, "is not the data set"),
        ({"repo": ["builtin"] * 3}, "one or two"),
    ):
        with pytest.raises(vae_fidelity.VaeFidelityError, match=about):
            vae_fidelity.explain_gap(a, b, **wrong)


def test_an_evaluation_is_ended_and_goes_on(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for index in range(36):
        (data / f"{index:02}.png").write_bytes(PHOTO.read_bytes())

    class Stop(Exception):
        pass

    def stop(line):
        if line.startswith("34 of"):
            raise Stop

    with pytest.raises(Stop):
        vae_fidelity.evaluate(data, out=tmp_path / "out", protocol="vae-fidelity-256", progress=stop)
    said = []
    found = vae_fidelity.evaluate(data, out=tmp_path / "out", protocol="vae-fidelity-256", progress=said.append)
    assert said[1] == "32 of 36 pictures" and found.pictures == 36
