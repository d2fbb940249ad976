"""The folder that a hostile command line runs in."""

import os
import re
import shutil
import socket
import struct
import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """{"_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [8, 8, 8, 8],
"down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
"in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 1,
"norm_num_groups": 4, "sample_size": 64, "scaling_factor": 0.18215}"""
RECIPE = '{"schema_version": 1, "hash": "fnv1a64-splitmix64"}'
ESCAPES = "\x1b[31m\x1b]0;x\x07\u202e<script>"
EARLIER = ["decoded.png", "earlier.png", "earlier.json", "earlier.safetensors", "earlier.html", "earlier.xml"]


def prepare(folder, results):
    """Everything that a run may name; `results` is what [`evaluated`] left."""
    images = ROOT / "golden" / "images"
    for name in ["exif_rotated.jpg", "progressive_420.jpg"]:
        shutil.copy(images / name, folder / name)
    photo = images / "grey.png"
    for name in ["photo.png", "other.png", ESCAPES + ".png", "with space.png", "-dash.png"]:
        shutil.copy(photo, folder / name)
    shutil.copy(photo, os.fsencode(folder) + b"/\xff\xfe.png")
    (folder / "broken.png").write_bytes(photo.read_bytes()[:200])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture\n")
    (folder / "garbage.safetensors").write_bytes(os.urandom(5000))
    (folder / "garbage.npy").write_bytes(b"\x93NUMPY\x01\x00" + os.urandom(500))
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, 8, 8), }".ljust(117) + "\n"
    values = b"".join(struct.pack("<f", (number % 37 - 18) / 9) for number in range(256))
    (folder / "latents.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values)
    (folder / "garbage.json").write_text('{"a": [1, 2')
    (folder / "deep.json").write_text("[" * 100_000)
    sparse = folder / "sparse.ppm"
    sparse.write_bytes(b"P6 8 8 255\n" + bytes(192))
    os.truncate(sparse, 3_000_000_000)
    for name, config in [
        ("model", CONFIG),
        ("wide", CONFIG.replace("[8, 8, 8, 8]", "[4096, 16384, 8, 8]")),
        ("strange", CONFIG.replace("AutoencoderKL", "A\\u001b[31m")),
        ("nan", CONFIG.replace("0.18215", "1e-300")),
    ]:
        (folder / name / "vae").mkdir(parents=True)
        (folder / name / "vae" / "config.json").write_text(config)
        (folder / name / "vae" / "recipe.json").write_text(RECIPE)
        (folder / name / "model_index.json").write_text("{}")
    (folder / "shards").mkdir()
    (folder / "shards" / "config.json").write_text(CONFIG)
    (folder / "shards" / "part-one").write_bytes(b"x" * 100)
    (folder / "shards" / "diffusion_pytorch_model.safetensors.index.json").write_text(
        '{"metadata": {}, "weight_map": {"a": "part-one"}}'
    )
    (folder / "empty").mkdir()
    (folder / "pictures").mkdir()
    for number in range(3):
        shutil.copy(photo, folder / "pictures" / f"{number}.png")
    (folder / "list").write_text("photo.png\nother.png\n")
    (folder / "token").write_text("hf_x")
    (folder / "cache" / "models--a--b" / "blobs").mkdir(parents=True)
    (folder / "cache" / "models--a--b" / "blobs" / "blob").write_text("weights")
    os.mkfifo(folder / "pipe")
    os.symlink("loop", folder / "loop")
    os.symlink("photo.png", folder / "link.png")
    os.symlink("gone", folder / "dangling")
    os.link(folder / "photo.png", folder / "twin.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket"))
    for name in EARLIER:
        (folder / name).write_text("an earlier result")
    of_data_sets(folder, results)


def of_data_sets(folder, results):
    """Data sets in files, protocols, and results of evaluations, whole and broken."""
    with tarfile.open(folder / "pictures.tar", "w") as archive:
        for number in range(2):
            archive.add(folder / "pictures" / f"{number}.png", f"{number}.png")
    whole = (folder / "pictures.tar").read_bytes()
    (folder / "broken.tar").write_bytes(whole[: len(whole) // 2])
    (folder / "broken.parquet").write_bytes(b"PAR1" + os.urandom(500) + b"PAR1")
    (folder / "list.txt").write_text("photo.png\nother.png\n")
    (folder / "endless.txt").symlink_to("/dev/zero")
    (folder / "own.toml").write_text('name = "own"\n')
    (folder / "broken.toml").write_text('name = "own\n[[')
    shutil.copytree(results, folder, dirs_exist_ok=True)
    for name in ("cut-rows", "deep-result", "other-numbers"):
        shutil.copytree(folder / "result-a", folder / name)
    rows = folder / "cut-rows" / "rows.parquet"
    os.truncate(rows, rows.stat().st_size // 2)
    (folder / "deep-result" / "result.json").write_text("[" * 100_000)
    result = folder / "other-numbers" / "result.json"
    result.write_text(re.sub(r"[0-9]+", "99999999999999999999", result.read_text()))


def evaluated(binary, folder):
    """Results of evaluations that runs may name: of two protocols, and two parts of one."""
    with tempfile.TemporaryDirectory() as outside:
        pictures = Path(outside) / "pictures"
        pictures.mkdir()
        for number in range(3):
            shutil.copy(ROOT / "golden" / "images" / "grey.png", pictures / f"{number}.png")
        for out, flags in {
            "result-a": [],
            "result-b": ["--protocol", "llamagen"],
            "part-0": ["--shard", "0/2"],
            "part-1": ["--shard", "1/2"],
        }.items():
            command = [binary, "evaluate", pictures, "--out", Path(folder) / out, "--quiet", *flags]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
