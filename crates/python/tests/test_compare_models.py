"""Two models on the same pictures, and what a test asserts of them."""

import itertools
import math
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
import vae_fidelity
from diffusers import AutoencoderKL, AutoencoderKLQwenImage, AutoencoderKLWan
from live_models import BUILTIN, MODELS, OF_CLIPS, of_rgba
from vae_fidelity import testing
from vae_fidelity.live import costs
from vae_fidelity.live.model import Model
from vae_fidelity.live.pictures import sample_of
from vae_fidelity.live.rounding import Distance

PHOTO = "golden/images/astronaut.png"
SIZE = {"width": 64, "height": 48}


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])


def loaded():
    return AutoencoderKL.from_pretrained(BUILTIN)


def test_a_model_is_itself_in_every_bit():
    found = vae_fidelity.compare_models(loaded(), loaded(), [PHOTO, "golden/images/coffee.jpg"], **SIZE)
    assert found.same_bits and found.psnr_db == math.inf and found.worst_difference == 0 and len(found.pictures) == 2


def test_16_bits_cost_what_they_round():
    found = vae_fidelity.compare_models(loaded(), loaded().bfloat16(), PHOTO, layers=True, **SIZE)
    assert not found.same_bits and 45 < found.psnr_db < 65 and found.worst_difference <= 8
    assert found.ssim > 0.99 and found.pictures[0].lpips is None
    psnrs = [cost.psnr_db for cost in found.layers]
    assert psnrs == sorted(psnrs) and psnrs[0] < found.psnr_db + 25 and len(psnrs) > 30
    assert "of the candidate alone" in str(found) and "psnr_db" in found.to_json()


def test_one_bad_layer_is_the_dearest():
    other = loaded()
    with torch.no_grad():
        other.decoder.up_blocks[1].resnets[0].conv2.weight *= 1.2
    found = vae_fidelity.compare_models(loaded(), other, PHOTO, layers=True, wanted_psnr_db=80, **SIZE)
    assert found.layers[0].name == "decoder.up_blocks.1.resnets.0" and found.layers[1].psnr_db == math.inf
    assert found.keep == ["decoder.up_blocks.1.resnets.0"] and found.kept_psnr_db == math.inf


def test_what_is_kept_is_as_good_as_the_best_choice(monkeypatch):
    """Of eight layers, the choice is within 0.5 dB of the best of all choices of as many."""
    original, other = Model.of(loaded()), loaded()
    rough = [f"decoder.up_blocks.{block}.resnets.{at}" for block in range(4) for at in range(2)]
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for at, name in enumerate(rough):
            weight = other.get_submodule(name).conv1.weight
            weight += 0.02 * (1 + at % 3) * weight.std() * torch.randn(weight.shape, generator=generator)
    other = Model.of(other)
    samples = [sample_of(PHOTO, 48, 48)[1]]
    expected = costs._pictures(original, samples)

    def reached(names):
        with costs.exchanged(other, original, names):
            return costs.psnr_db(expected, costs._pictures(other, samples))

    wanted = (reached([]) + reached(rough[:6])) / 2
    dearest = [cost.name for cost in costs.costs(original, other, samples, lambda step: None) if cost.name in rough]
    kept, psnr = costs.keep(original, other, samples, wanted, dearest, lambda step: None)
    best = max(reached(list(names)) for names in itertools.combinations(rough, len(kept)))
    assert psnr >= wanted and best - psnr <= 0.5 and 0 < len(kept) < len(rough)


def test_a_quality_that_cannot_be_reached_is_said():
    other = loaded()
    right = other.decode
    other.decode = lambda z, *rest, **keywords: right(z * 1.1, *rest, **keywords)
    with pytest.raises(vae_fidelity.VaeFidelityError, match="is not reached"):
        vae_fidelity.compare_models(loaded(), other, PHOTO, wanted_psnr_db=90, **SIZE)


def test_checkpoints_and_objects_are_compared_as_well():
    class Own:
        def __init__(self, vae):
            self.vae = vae

        def encode(self, sample):
            return self.vae.encode(sample).latent_dist.mode()

        def decode(self, latents):
            return self.vae.decode(latents).sample

    found = vae_fidelity.compare_models(BUILTIN, Own(loaded()), PHOTO, **SIZE)
    assert not found.same_bits and found.psnr_db > 80 and found.worst_difference <= 1
    found = vae_fidelity.compare_models(loaded(), BUILTIN, PHOTO, lpips=lambda a, b: (a - b).abs().mean(), **SIZE)
    assert found.psnr_db > 80 and 0 < found.pictures[0].lpips < 1e-4
    with pytest.raises(vae_fidelity.VaeFidelityError, match="between two torch modules"):
        vae_fidelity.compare_models(BUILTIN, loaded(), PHOTO, layers=True, **SIZE)
    with pytest.raises(vae_fidelity.VaeFidelityError, match="with encode"):
        vae_fidelity.compare_models(BUILTIN, object(), PHOTO, **SIZE)


def test_what_lies_beyond_rounding_is_told():
    room = Distance(0.01, 0.1, 0.001)
    for off, words in (
        (Distance(0.02, 0.2, 0.002), "0.02 off (rounding: 0.01)"),
        (Distance(0.005, 0.2, 0.002), "0.2 off in its worst value (rounding: 0.1)"),
        (Distance(0.005, 0.05, 0.002), "0.002 too large or too small as a whole (rounding: 0.001)"),
        (Distance(float("nan"), 0.05, 0), "nan off (rounding: 0.01)"),
    ):
        assert not off.within(room) and off.beyond(room) == words


def test_models_of_rgba_are_compared_by_pictures_with_alpha():
    found = vae_fidelity.compare_models(of_rgba(), of_rgba(), PHOTO, **SIZE)
    assert found.same_bits and found.worst_difference == 0
    # PSNR is of all that is decoded, 8-bit levels of the colours.
    other = vae_fidelity.compare_models(of_rgba(), of_rgba(alpha=0.9), PHOTO, **SIZE)
    assert not other.same_bits and other.worst_difference == 0 and 20 < other.psnr_db < 40
    pixels = vae_fidelity.preprocess(PHOTO, alpha=True, **SIZE)
    assert pixels.shape == (48, 64, 4) and (pixels[..., 3] == 255).all()
    assert (pixels[..., :3] == vae_fidelity.preprocess(PHOTO, **SIZE)).all()


def test_sizes_are_those_that_the_class_takes():
    """FLUX.2's patches of latents need sides that are multiples of 16."""
    seen = []
    picture = np.random.default_rng(1).integers(0, 256, (40, 72, 3)).astype(np.uint8)
    for name, size in (("AutoencoderKLFlux2", (32, 64)), ("AutoencoderTiny", (40, 72))):
        model = MODELS[name]()
        vae_fidelity.compare_models(model, model, picture, lpips=lambda a, b: seen.append(tuple(a.shape[2:])) or 0.0)
        assert seen.pop() == size
    with pytest.raises(vae_fidelity.VaeFidelityError, match="multiples of 16 for this model, found 72 x 40"):
        model = MODELS["AutoencoderKLFlux2"]()
        vae_fidelity.compare_models(model, model, picture, width=72, height=40)


@pytest.mark.parametrize("name", OF_CLIPS)
def test_models_of_clips_are_compared(name):
    original, other = MODELS[name](), MODELS[name]()
    assert vae_fidelity.compare_models(original, MODELS[name](), PHOTO, **SIZE).same_bits
    with torch.no_grad():
        other.decoder.up_blocks[1].resnets[0].conv2.weight *= 1.2
    found = vae_fidelity.compare_models(original, other, PHOTO, layers=True, wanted_psnr_db=80, **SIZE)
    assert found.layers[0].name == "decoder.up_blocks.1.resnets.0" and found.layers[1].psnr_db == math.inf
    assert found.keep == ["decoder.up_blocks.1.resnets.0"] and found.kept_psnr_db == math.inf
    testing.assert_vae_matches(MODELS[name]().bfloat16(), original, PHOTO, min_psnr_db=30, width=48, height=32)


def test_an_object_of_clips_is_compared():
    """What it makes are clips, as its kind makes them."""

    class Own:
        def __init__(self, vae):
            self.vae = vae

        def encode(self, sample):
            return self.vae.encode(sample[:, :, None]).latent_dist.mode()

        def decode(self, latents):
            return self.vae.decode(latents[:, :, None]).sample

    vae = MODELS["AutoencoderKLWan"]()
    assert vae_fidelity.compare_models(vae, Own(vae), PHOTO, **SIZE).same_bits


@pytest.mark.parametrize(
    "cls, model",
    [(AutoencoderKLWan, "wan-small"), (AutoencoderKLWan, "wan2.2-small"), (AutoencoderKLQwenImage, "qwen-image-small")],
)
def test_diffusers_reproduces_the_goldens_of_clips(cls, model):
    report = testing.assert_golden(cls, "golden", only=model)
    assert report.summary.tensors_bit_identical > 0 and report.summary.cases >= 2


def test_a_port_of_clips_with_a_fault_fails_with_its_layer():
    def load(model):
        port = AutoencoderKLWan.from_config(model.config)
        port.load_state_dict(model.state_dict())
        port.decoder.up_blocks[0].upsampler.resample[1].weight.data *= 1.5
        return port.eval()

    with pytest.raises(AssertionError, match="first diverging module decoder.up_blocks.0.upsampler.resample.1"):
        testing.assert_golden(load, "golden", only="wan2.2-small")


def test_an_assertion_says_by_how_much_and_where():
    testing.assert_vae_matches(loaded().bfloat16(), loaded())
    testing.assert_vae_matches(loaded(), loaded(), same_bits=True)
    other = loaded()
    with torch.no_grad():
        other.decoder.conv_norm_out.weight *= 1.5
    with pytest.raises(AssertionError, match="PSNR .* dB, expected at least 40(.|\n)*decoder.conv_norm_out"):
        testing.assert_vae_matches(other, loaded())
    with pytest.raises(AssertionError, match="expected at most 0"):
        testing.assert_vae_matches(loaded().bfloat16(), loaded(), max_difference=0)
    with torch.no_grad():
        other.decoder.conv_norm_out.weight[0] = float("nan")
    with pytest.raises(AssertionError, match="expected at least"):
        testing.assert_vae_matches(other, loaded())


def test_diffusers_reproduces_the_goldens():
    told = []
    report = testing.golden(AutoencoderKL, "golden", only="sd-small", tell=told.append)
    assert report.passed and report.summary.tensors_bit_identical > 0 and report.summary.tensors_failed == 0
    assert len(told) >= report.summary.cases > 3


def test_a_port_with_a_fault_fails_with_its_layer():
    class Port(AutoencoderKL):
        pass

    def load(model):
        port = Port.from_config(model.config)
        port.load_state_dict(model.state_dict())
        port.encoder.mid_block.attentions[0].to_q.weight.data *= 2
        return port.eval()

    with pytest.raises(AssertionError, match="first diverging module encoder.mid_block.attentions.0.to_q"):
        testing.assert_golden(load, "golden", only="sd-small")


def test_an_object_on_arrays_is_judged():
    class Own:
        def __init__(self, vae, scale):
            self.vae, self.scale = vae, scale

        def encode(self, sample, noise):
            with torch.no_grad():
                posterior = self.vae.encode(torch.from_numpy(sample)).latent_dist
            latents = posterior.mode() if noise is None else posterior.mean + posterior.std * torch.from_numpy(noise)
            return posterior.parameters, posterior.std, latents

        def decode(self, latents):
            with torch.no_grad():
                return self.vae.decode(torch.from_numpy(latents)).sample * self.scale

    def load(scale):
        def loaded(model):
            vae = AutoencoderKL.from_config(model.config)
            vae.load_state_dict(model.state_dict())
            return Own(vae.eval(), scale)

        return loaded

    assert testing.golden(load(1.0), "golden", only="sd-small").passed
    report = testing.golden(load(1.1), "golden", only=["sd-small"])
    assert not report.passed and {check.tensor for case in report.cases for check in case.checks if check.outcome == "failed"} >= {
        "decoded"
    }


def test_what_ends_python_ends_the_goldens():
    def load(model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        testing.golden(load, "golden", only="sd-small")
    report = testing.golden(lambda model: 1 / 0, "golden", only="sd-small")
    assert not report.passed and any("ZeroDivisionError" in (check.reason or "") for check in report.cases[0].checks)


def test_pytest_shows_the_report(tmp_path):
    test = tmp_path / "test_it.py"
    test.write_text(
        "from vae_fidelity.testing import assert_vae_matches\n"
        "def test_it():\n"
        "    assert_vae_matches('builtin', 'builtin', min_psnr_db=float('inf'), width=64, height=64)\n"
        "def test_a_fixture(assert_vae_matches):\n"
        "    assert_vae_matches('builtin', 'builtin', width=64, height=64)\n"
        "def test_that():\n"
        f"    assert_vae_matches({str(Path('tests/fixtures/models/eight-channel/vae').absolute())!r}, 'builtin')\n"
    )
    # From a folder on the path, without the wheel's metadata, it has to be named.
    installed = any(each.value == "vae_fidelity._pytest" for each in metadata.entry_points(group="pytest11"))
    named = [] if installed else ["-p", "vae_fidelity._pytest"]
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q", *named, str(test)], capture_output=True, text=True)
    assert "1 failed, 2 passed" in ran.stdout and "compare models of one kind" in ran.stdout, ran.stdout


def test_trace_metrics_and_checkpoints(tmp_path):
    pipeline = vae_fidelity.Pipeline("builtin")
    saved = tmp_path / "trace.json"
    traced = pipeline.trace(PHOTO, save=saved, **SIZE)
    assert traced.verdict == "pass" and saved.is_file() and len(traced.encode) > 40
    again = pipeline.trace(PHOTO, against=saved, **SIZE)
    assert again.against.stages[0].beyond_rounding == 0
    other = pipeline.trace("golden/images/coffee.jpg", against=saved, **SIZE)
    assert other.verdict == "fail"
    with pytest.raises(vae_fidelity.VaeFidelityError):
        pipeline.trace(PHOTO, against="absent.json")
    found = vae_fidelity.metrics(np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 1, np.uint8))
    assert found.max_abs_diff == 1 and 48 < found.psnr_db < 48.2
    checkpoint = vae_fidelity.open_checkpoint(BUILTIN)
    theirs = loaded().state_dict()
    assert set(checkpoint) == set(theirs) and checkpoint.config["latent_channels"] == 16
    assert all(np.array_equal(checkpoint[name], theirs[name].float().numpy()) for name in theirs)
    with pytest.raises(KeyError):
        checkpoint["absent"]
