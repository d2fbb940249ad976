"""The folder that a hostile command line runs in."""

import os
import shutil
import socket
import struct
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


def prepare(folder):
    """Everything that a run may name."""
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
