#!/usr/bin/env python3
"""Writes crates/core/src/graph/state_dicts.json: names and shapes of the tensors of Wan's, Qwen-Image's and
HunyuanImage's classes.

    scripts/python.sh -m vae_fidelity_tools.conformance.state_dicts [--check]

Each model is built by diffusers on torch's meta device, so that nothing is computed. A test of the crate holds
its graphs against them; `--check` writes nothing and exits 1 where the file would be another.
"""

import json
import sys

import torch

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import GOLDEN, ROOT
from vae_fidelity_tools.goldens.classes import CLASSES

FILE = ROOT / "crates" / "core" / "src" / "graph" / "state_dicts.json"
# Wan 2.2's, as it was published, but for its statistics.
WAN_22 = {
    "_class_name": "AutoencoderKLWan", "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2, "attn_scales": [], "temperal_downsample": [False, True, True], "is_residual": True,
    "in_channels": 12, "out_channels": 12, "patch_size": 2, "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,
}  # fmt: skip


def configs():
    for part in ("wan", "hunyuan"):
        for model in sorted((GOLDEN / part / "models").iterdir()):
            yield model.name, json.loads((model / "vae" / "config.json").read_text())
    yield "wan2.2", WAN_22


def tensors(config):
    """{name: shape}, in the order of the state dict."""
    with torch.device("meta"):
        vae = CLASSES[config["_class_name"]].diffusers_class.from_config(config)
    return {name: list(tensor.shape) for name, tensor in vae.state_dict().items()}


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 on a difference")
    args = parser.parse_args()
    rows = [json.dumps({"model": name, "config": config, "tensors": tensors(config)}) for name, config in configs()]
    text = "[\n" + ",\n".join(rows) + "\n]\n"
    if args.check:
        sys.exit(0 if FILE.read_text() == text else f"{FILE} is not what diffusers has")
    FILE.write_text(text)
    print(f"{len(rows)} models in {FILE}")


if __name__ == "__main__":
    main()
