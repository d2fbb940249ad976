#!/usr/bin/env python3
"""Draws golden/models/builtin/round_trip.jpg: photographs, and below each what the built-in VAE makes of it.

It was trained on none of them.

    scripts/python.sh -m vae_fidelity_tools.training.readme_picture [--binary target/debug/vae-fidelity]
"""

import json
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import MODELS
from vae_fidelity_tools.training.training_set import HELD_OUT, held_out

SIDE, GAP = 256, 6


def main():
    parser = arguments.parser(__doc__)
    arguments.add_binary(parser, "cargo build")
    binary = parser.parse_args().binary or checkout.binary()
    step = SIDE + GAP
    sheet = Image.new("RGB", (len(HELD_OUT) * step - GAP, 2 * step - GAP), "white")
    with tempfile.TemporaryDirectory() as folder:
        for column, (name, picture) in enumerate(held_out().items()):
            before, after = Path(folder) / f"{name}.png", Path(folder) / f"{name}_decoded.png"
            Image.fromarray(picture).save(before)
            ran = subprocess.run([binary, "check", before, "--out", after, "--json"], check=True, capture_output=True, text=True)
            print(f"{name:10} {json.loads(ran.stdout)['metrics']['psnr_db']:.2f} dB")
            for row, path in enumerate((before, after)):
                with Image.open(path) as image:
                    sheet.paste(image, (column * step, row * step))
    sheet.save(MODELS / "builtin" / "round_trip.jpg", quality=90)


if __name__ == "__main__":
    main()
