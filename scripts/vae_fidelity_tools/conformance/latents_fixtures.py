#!/usr/bin/env python3
"""Writes tests/fixtures/latents: the same latents as each program writes them, by the calls it makes.

    scripts/python.sh -m vae_fidelity_tools.conformance.latents_fixtures [--check]

`expected.json` has, for each file, the tensor's name, its shape and the SHA-256 of its values as f32. Beside
them lie programs of torch.jit and torch.export, which are no latents and no weights. `--check` writes nothing
and exits 1 where the values of the files that are there would differ.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT

FIXTURES = ROOT / "tests" / "fixtures" / "latents"


def latents(*shape):
    return torch.linspace(-2, 3, int(np.prod(shape)), dtype=torch.float64).sin().float().reshape(shape)


def comfyui(path):
    """nodes.py, SaveLatent; comfy.utils.save_torch_file."""
    tensor = latents(1, 4, 2, 3).contiguous()
    save_file({"latent_tensor": tensor, "latent_format_version_0": torch.tensor([])}, path, metadata={"prompt": "{}"})
    return "latent_tensor", tensor


def comfyui_old(path):
    """The same before the mark; LoadLatent multiplies by 1 / 0.18215."""
    tensor = latents(1, 4, 2, 3)
    save_file({"latent_tensor": tensor * 0.18215}, path)
    return "latent_tensor", (tensor * 0.18215) * (1.0 / 0.18215)


def sd_scripts(path, suffix="_2x3"):
    """library/strategy_base.py, save_latents_to_disk."""
    tensor = latents(4, 2, 3)
    arrays = {
        f"latents{suffix}": tensor.float().cpu().numpy(),
        f"original_size{suffix}": np.array((24, 16)),
        f"crop_ltrb{suffix}": np.array((0, 0, 24, 16)),
        f"latents_flipped{suffix}": tensor.flip(2).numpy(),
        f"alpha_mask{suffix}": np.ones((16, 24), np.float32),
    }
    np.savez(path, **arrays)
    return f"latents{suffix}", tensor


def sd_scripts_old(path):
    return sd_scripts(path, "")


def musubi(path):
    """dataset/image_video_dataset.py, save_latent_cache_common."""
    tensor = latents(4, 1, 2, 3)
    metadata = {"architecture": "z_image", "width": "24", "height": "16", "format_version": "1.0.1"}
    save_file({"latents_1x2x3_float32": tensor}, path, metadata=metadata)
    return "latents_1x2x3_float32", tensor


def onetrainer(path):
    """mgds, DiskCache: torch.save(split_item, ...)."""
    tensor = latents(4, 2, 3)
    torch.save({"latent_image": tensor.clone(), "original_resolution": (16, 24), "crop_offset": (0, 0)}, path)
    return "latent_image", tensor


def alone(path):
    tensor = latents(1, 4, 2, 3)
    torch.save(tensor, path)
    return "", tensor


def alone_before(path):
    tensor = latents(1, 4, 2, 3).half()
    torch.save(tensor, path, _use_new_zipfile_serialization=False)
    return "", tensor


def listed(path):
    tensor = latents(1, 4, 2, 3).bfloat16()
    torch.save([torch.tensor(3), tensor.permute(0, 1, 3, 2)], path)
    return "1", tensor.permute(0, 1, 3, 2)


def parameter(path):
    tensor = latents(2, 4, 2, 3)
    torch.save({"step": 7, "latents": torch.nn.Parameter(tensor)}, path)
    return "latents", tensor


WRITERS = {
    "comfyui.latent": comfyui,
    "comfyui-old.latent": comfyui_old,
    "photo_0024x0016_flux.npz": sd_scripts,
    "photo_0024x0016_sd3.npz": sd_scripts,
    "photo.npz": sd_scripts_old,
    "photo_0024x0016_zi.safetensors": musubi,
    "0.pt": onetrainer,
    "alone.pt": alone,
    "alone-before-1.6.pt": alone_before,
    "listed.pt": listed,
    "parameter.pt": parameter,
}


def programs(folder):
    """Exported programs, which are told from state dicts by what their archives hold."""
    module = torch.nn.Conv2d(1, 1, 1).eval()
    torch.jit.trace(module, torch.zeros(1, 1, 2, 2)).save(folder / "program.torchscript.pt")
    torch.export.save(torch.export.export(module, (torch.zeros(1, 1, 2, 2),)), folder / "program.pt2")
    np.savez(folder / "weights.npz", **{"decoder.conv_in.weight": np.zeros((2, 2), np.float32)})


def write(folder):
    expected = {}
    for name, writer in WRITERS.items():
        tensor, values = writer(folder / name)
        values = values.detach().float().contiguous()
        digest = hashlib.sha256(values.numpy().tobytes()).hexdigest()
        expected[name] = {"tensor": tensor, "shape": list(values.shape), "sha256": digest}
    programs(folder)
    text = json.dumps({"torch": torch.__version__.split("+")[0], "numpy": np.__version__, "files": expected}, indent=2)
    (folder / "expected.json").write_text(text + "\n")


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with the files that are there")
    args = parser.parse_args()
    if not args.check:
        FIXTURES.mkdir(parents=True, exist_ok=True)
        write(FIXTURES)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        now, then = (json.loads((at / "expected.json").read_text())["files"] for at in (Path(folder), FIXTURES))
        again = load_file(FIXTURES / "comfyui.latent")["latent_tensor"]
    if now != then or not torch.equal(again, latents(1, 4, 2, 3)):
        sys.exit("what is written today differs from the fixtures")
    print(f"{len(now)} files have the values that are written today")


if __name__ == "__main__":
    main()
