#!/usr/bin/env python3
"""LPIPS and DISTS as their authors' Python packages compute them, beside crates/perceptual.

    scripts/python.sh -m vae_fidelity_tools.conformance.perceptual            # crates/perceptual/tests/distances.json is theirs
    scripts/python.sh -m vae_fidelity_tools.conformance.perceptual --write    # writes it

The weights are golden/README.md's recipe, by torchvision's names, so that all three networks can be tried without
a file; the heads are what it gives without their signs, since published ones are not negative.
"""

import json
import sys

import lpips
import numpy as np
import torch

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT
from vae_fidelity_tools.conformance import perceptual_weights
from vae_fidelity_tools.goldens.recipe import values

DISTANCES = ROOT / "crates" / "perceptual" / "tests" / "distances.json"
SIZES = [(64, 64), (47, 70), (130, 99), (256, 256)]
# What kernels of other processors may move in f32, of a distance.
TOLERANCE = 2e-5


def picture(height, width, which):
    """(1, 3, H, W) in [-1, 1], by whole numbers: the crate's tests make the same bits of it."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    levels = (x * x // (5 + which) + y * (3 + 2 * which) + c * 40 + x * y // 16) % 256
    return torch.from_numpy((levels.astype(np.float32) / np.float32(127.5) - np.float32(1))[None])


def tensor(name, shape):
    """By its name; of heads without their signs."""
    of = values(name, shape)
    return torch.from_numpy(of if name.startswith("features.") else np.abs(of))


def measured():
    rows = []
    for net in ("alex", "vgg", "squeeze"):
        model = lpips.LPIPS(net=net, pnet_rand=True, pretrained=False, verbose=False)
        perceptual_weights.fill(model, tensor)
        for height, width in SIZES:
            with torch.no_grad():
                distance = model(picture(height, width, 0), picture(height, width, 1)).item()
            rows.append({"net": net, "height": height, "width": width, "distance": distance})
    model = perceptual_weights.fill_dists(perceptual_weights.dists(), tensor)
    for height, width in SIZES:
        a, b = ((picture(height, width, which) + 1) / 2 for which in (0, 1))
        with torch.no_grad():
            rows.append({"net": "dists", "height": height, "width": width, "distance": model(a, b).item()})
    return {"lpips": "0.1.4", "DISTS_pytorch": "0.1", "distances": rows}


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--write", action="store_true", help="write the file")
    args = parser.parse_args()
    found = measured()
    if args.write:
        DISTANCES.parent.mkdir(exist_ok=True)
        rows = ",\n".join("    " + json.dumps(row) for row in found["distances"])
        versions = "".join(f'  "{name}": "{found[name]}",\n' for name in ("lpips", "DISTS_pytorch"))
        DISTANCES.write_text(f'{{\n{versions}  "distances": [\n{rows}\n  ]\n}}\n')
        print(DISTANCES.relative_to(ROOT))
        return
    kept = json.loads(DISTANCES.read_text())
    if [{**row, "distance": 0} for row in kept["distances"]] != [{**row, "distance": 0} for row in found["distances"]]:
        sys.exit(f"{DISTANCES}: other networks or sizes than here; run this with --write")
    off = [abs(a["distance"] / b["distance"] - 1) for a, b in zip(kept["distances"], found["distances"])]
    if not max(off) <= TOLERANCE:
        sys.exit(f"{DISTANCES}: off by {max(off):.2e} of a distance, expected at most {TOLERANCE}")
    print(f"{len(off)} distances, at most {max(off):.1e} off")


if __name__ == "__main__":
    main()
