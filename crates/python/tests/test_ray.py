"""`evaluate` on a real Ray of this machine: two actors, one of them killed on the way."""

import json
import os
import signal
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import ray
import vae_fidelity
import vae_fidelity.ray
from PIL import Image
from vae_fidelity._ray_pictures import write_archive

PICTURES = 24


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    levels = np.random.default_rng(0)
    for index in range(PICTURES):
        coarse = Image.fromarray(levels.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((192, 160), Image.Resampling.BICUBIC).save(folder / f"{index:02}.png")
    (folder / "99.png").write_text("none")
    return folder


def of_result(folder):
    """All but `run`, and the rows."""
    result = json.loads((folder / "result.json").read_text())
    result.pop("run")
    return result, *((folder / name).read_bytes() for name in ("rows.parquet", "latents.parquet", "maps.json"))


def actors():
    """Processes of actors, by Linux's own list."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if command.startswith(b"ray::") and b"Actor" in command:
            yield int(process.name)


def test_an_actor_that_dies_changes_no_bit(cluster, data, tmp_path):
    whole = vae_fidelity.evaluate(data, out=tmp_path / "whole")
    killed = []

    def kill_one():
        shards = tmp_path / "out.shards"
        while not killed:
            time.sleep(0.05)
            done = list(shards.glob("*/result.json"))
            for process in actors() if done else ():
                os.kill(process, signal.SIGKILL)
                killed.append((process, len(done)))
                return

    killing = threading.Thread(target=kill_one, daemon=True)
    killing.start()
    found = vae_fidelity.ray.evaluate(data, out=tmp_path / "out", workers=2, shards=12)
    killing.join(timeout=1)
    [(_, done)] = killed
    assert 0 < done < 12, "it was killed in the middle"
    assert found.pictures == PICTURES + 1 and found.errors == whole.errors == 1
    assert of_result(tmp_path / "out") == of_result(tmp_path / "whole")
    assert not (tmp_path / "out.shards").exists()


def test_what_an_actor_refuses_is_said_as_everywhere(cluster, data, tmp_path):
    with pytest.raises(vae_fidelity.VaeFidelityError) as raised:
        vae_fidelity.ray.evaluate(data, "/no/such/vae", out=tmp_path / "out", workers=1, shards=1)
    assert raised.value.code == "checkpoint" or raised.value.problem, raised.value
    assert "/no/such/vae" in str(raised.value)
    with pytest.raises(vae_fidelity.VaeFidelityError, match="found a Pipeline"):
        vae_fidelity.ray.evaluate(data, vae_fidelity.Pipeline(), out=tmp_path / "out")


def test_a_data_set_of_ray_is_mapped(cluster, data):
    # Here, so that Ray sends it: an actor cannot import this file.
    class Check:
        def __init__(self):
            self.pipeline = vae_fidelity.Pipeline("builtin", threads=1)

        def __call__(self, batch):
            reports = [self.pipeline.check(picture) for picture in batch["bytes"]]
            return {"path": batch["path"], "psnr_db": [report.metrics.psnr_db for report in reports]}

    pictures = ray.data.read_binary_files([str(data / f"{index:02}.png") for index in range(4)], include_paths=True)
    rows = pictures.map_batches(Check, batch_size=2, compute=ray.data.ActorPoolStrategy(size=1)).take_all()
    found = {Path(row["path"]).name: row["psnr_db"] for row in rows}
    assert found == {name: vae_fidelity.check(data / name).metrics.psnr_db for name in sorted(found)} and len(found) == 4


def test_a_data_set_of_ray_has_the_result_of_its_pictures(cluster, data, tmp_path):
    files = [str(data / f"{index:02}.png") for index in range(6)]
    for name, blocks in (("one", 1), ("many", 5)):
        pictures = ray.data.read_binary_files(files, include_paths=True, override_num_blocks=blocks)
        found = vae_fidelity.ray.evaluate(pictures, out=tmp_path / name, workers=1, shards=2)
        assert found.pictures == 6 and found.errors == 0
    assert of_result(tmp_path / "one") == of_result(tmp_path / "many"), "how it is cut changes no bit"
    archive = tmp_path / "one.data" / "pictures.tar"
    vae_fidelity.evaluate(archive, out=tmp_path / "whole")
    assert of_result(tmp_path / "one") == of_result(tmp_path / "whole")
    with tarfile.open(archive) as members:
        names = members.getnames()
    assert names == [f"{index:09}{file}" for index, file in enumerate(files)]


def test_pixels_and_structs_are_the_same_pictures(cluster, data, tmp_path):
    files = [data / f"{index:02}.png" for index in range(3)]
    expected = [np.asarray(Image.open(file)) for file in files]
    pixels = ray.data.from_items([{"image": picture} for picture in expected])
    structs = ray.data.from_items([{"image": {"bytes": file.read_bytes(), "path": None}} for file in files])
    for pictures in (pixels, structs):
        write_archive(pictures, tmp_path / "pictures.tar")
        with tarfile.open(tmp_path / "pictures.tar") as archive:
            assert archive.getnames() == [f"{index:09}/picture.png" for index in range(3)]
            found = [np.asarray(Image.open(archive.extractfile(member))) for member in archive]
        assert all(np.array_equal(*both) for both in zip(found, expected, strict=True))
    for rows, found in (({"text": "none"}, "found columns text"), ({"image": np.zeros((8, 8, 3))}, "array of float64")):
        with pytest.raises(vae_fidelity.VaeFidelityError, match=found):
            vae_fidelity.ray.evaluate(ray.data.from_items([rows]), out=tmp_path / "none", workers=1)
        assert not (tmp_path / "none").exists()
