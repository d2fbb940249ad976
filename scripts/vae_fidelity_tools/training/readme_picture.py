#!/usr/bin/env python3
"""Draws golden/models/builtin/round_trip.jpg: photographs that the built-in VAE was not trained on,
and below each what `vae-fidelity check` makes of it.

    scripts/python.sh scripts/readme_picture.py [--binary target/debug/vae-fidelity]
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from train_builtin import BUILTIN, HELD_OUT, held_out

ROOT = Path(__file__).resolve().parent.parent
SIDE, GAP = 256, 6


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, default=ROOT / "target/debug/vae-fidelity")
    binary = parser.parse_args().binary
    if not binary.exists():
        sys.exit(f"error: {binary}: not there\n  next: run scripts/check.sh once, or name one with --binary")
    step = SIDE + GAP
    sheet = Image.new("RGB", (len(HELD_OUT) * step - GAP, 2 * step - GAP), "white")
    with tempfile.TemporaryDirectory() as folder:
        for column, (name, picture) in enumerate(held_out().items()):
            before, after = Path(folder) / f"{name}.png", Path(folder) / f"{name}_decoded.png"
            Image.fromarray(picture).save(before)
            ran = subprocess.run(
                [binary, "check", before, "--out", after, "--json"],
                check=True, capture_output=True, text=True)
            print(f"{name:10} {json.loads(ran.stdout)['metrics']['psnr_db']:.2f} dB")
            for row, path in enumerate((before, after)):
                with Image.open(path) as image:
                    sheet.paste(image, (column * step, row * step))
    sheet.save(BUILTIN / "round_trip.jpg", quality=90)


if __name__ == "__main__":
    main()
