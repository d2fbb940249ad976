#!/usr/bin/env python3
"""Runs TAESD's published files for FLUX.2 beside their author's own code.

    scripts/python.sh -m vae_fidelity_tools.conformance.taesd --taesd FOLDER --binary PATH

FOLDER holds taef2_encoder.pth, taef2_decoder.pth, taesana_encoder.pth and taesd.py, as madebyollin/taesd
has them. `vae-fidelity check PICTURE --repo FOLDER`, with no other flag, has to give the latents and the
picture of taesd.py within rounding, at the quality that they are known for. Which is to be noticed where
it is not so: the reference without its pools has to fail. An encoder alone has to be named as that.
Exits 1 where something is not so.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import IMAGES

NEEDED = ("taef2_encoder.pth", "taef2_decoder.pth", "taesana_encoder.pth", "taesd.py")
SIZE = (320, 256)
# Of latents up to 4 and samples up to 1; the files are f16 and the arithmetic is f32.
LATENTS, DECODED = 2e-4, 2e-4
DECIBELS = (29.0, 33.5)


def expect(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}")


def author(folder):
    """taesd.py as a module."""
    sys.dont_write_bytecode = True
    spec = importlib.util.spec_from_file_location("taesd", folder / "taesd.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reference(module, folder):
    files = [str(folder / f"taef2_{half}.pth") for half in ("encoder", "decoder")]
    return module.TAESD(*files).eval()


def trip(model, picture):
    """Latents, and the decoded sample in [-1, 1], of a picture: what main() of taesd.py does without 8 bits."""
    sample = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float().div(255)
    with torch.no_grad():
        latents = model.encoder(sample)
        return latents.numpy(), model.decoder(latents).mul(2).sub(1).numpy()


def check(binary, picture, repo, *more):
    """The JSON of a check and the tensors that it saved."""
    with tempfile.TemporaryDirectory() as folder:
        names = ("x.png", "z.safetensors", "d.safetensors")
        out, latents, decoded = (str(Path(folder, name)) for name in names)
        command = [binary, "check", str(picture), "--repo", str(repo), "--json", "--out", out, *more]
        ran = subprocess.run([*command, "--save-latents", latents, "--save-decoded", decoded], capture_output=True, text=True)
        if ran.returncode == 2:
            return json.loads(ran.stdout), None, None
        return json.loads(ran.stdout), load_file(latents)["latents"], load_file(decoded)["decoded"]


def gap(one, other):
    return float(np.abs(one.astype(np.float64) - other).max()) if one.shape == other.shape else float("inf")


def without_pools(module, folder):
    """The reference as diffusers' class would build it."""
    model = reference(module, folder)
    for block in [*model.encoder, *model.decoder]:
        if hasattr(block, "pool"):
            block.pool = None
    return model


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--taesd", type=Path, required=True, metavar="FOLDER", help="the published files and taesd.py")
    parser.add_argument("--binary", required=True, help="vae-fidelity, with libtorch")
    args = parser.parse_args()
    missing = [name for name in NEEDED if not (args.taesd / name).is_file()]
    if missing:
        sys.exit(f"{args.taesd}: no {', '.join(missing)}; name the folder that has them with --taesd (.ci/run: TAESD=FOLDER)")
    module = author(args.taesd)
    model, poor = reference(module, args.taesd), without_pools(module, args.taesd)
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        for name in ("astronaut.png", "coffee.jpg"):
            photograph = temporary / f"{Path(name).stem}.png"
            with Image.open(IMAGES / name) as picture:
                picture.convert("RGB").resize(SIZE, Image.BICUBIC).save(photograph)
            with Image.open(photograph) as picture:
                latents, decoded = trip(model, picture)
                other, _ = trip(poor, picture)
            expect(gap(other, latents) > 100 * LATENTS, f"{name}: without pools, latents would differ by {gap(other, latents):.3g}")
            for engine in ((), ("--engine", "fast")):
                report, ours, picture = check(args.binary, photograph, args.taesd, *engine)
                said = f"{name} {' '.join(engine)}".strip()
                errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
                expect(report["verdict"] == "pass" and not errors, f"{said}: passes, with no error {errors}")
                expect(report["model"]["family"] == "taef2", f"{said}: is called taef2")
                expect(gap(ours, latents) <= LATENTS, f"{said}: latents differ from taesd.py's by {gap(ours, latents):.3g}")
                expect(gap(picture, decoded) <= DECODED, f"{said}: the decoded sample differs by {gap(picture, decoded):.3g}")
                quality = report["metrics"]["psnr_db"]
                expect(DECIBELS[0] <= quality <= DECIBELS[1], f"{said}: {quality:.2f} dB")
        report, *_ = check(args.binary, photograph, args.taesd / "taesana_encoder.pth")
        said = report.get("error", {}).get("message", "")
        expect("the encoder alone of a tiny autoencoder (TAESD for Sana)" in said, f"Sana's encoder is named: {said}")
        for half in ("encoder", "decoder"):
            report, *_ = check(args.binary, photograph, args.taesd / f"taef2_{half}.pth")
            said = report.get("error", {}).get("message", "")
            expect(f"the {half} alone of a tiny autoencoder (TAESD)" in said, f"half of the pair is named: {said}")
        # Two pairs in one folder are a question.
        for name in NEEDED[:2]:
            shutil.copy(args.taesd / name, temporary / name)
            shutil.copy(args.taesd / name, temporary / name.replace("taef2", "taef3"))
        report, *_ = check(args.binary, photograph, temporary)
        said = report.get("error", {}).get("message", "")
        expect("taef2, taef3" in said, f"two pairs are a question: {said}")


if __name__ == "__main__":
    main()
