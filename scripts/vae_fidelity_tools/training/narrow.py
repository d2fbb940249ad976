#!/usr/bin/env python3
"""Makes a starting point for a trained VAE with fewer latent channels and no quant convolutions.

    scripts/python.sh -m vae_fidelity_tools.training.narrow --channels 8 --out target/narrow
    scripts/python.sh -m vae_fidelity_tools.training.builtin --from target/narrow --out tests/fixtures/models/eight-channel

Why: the rules of the diagnosis are tuned on the built-in VAE, so they are tried on another trained one,
which differs in its graph and in its latents. Starting from the built-in weights saves most of the
training: the latents are turned to their principal components over the training pictures, the first of
them are kept, and the quant convolutions are multiplied into their neighbours.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL

from vae_fidelity_tools import arguments
from vae_fidelity_tools.training.builtin import BUILTIN, to_model
from vae_fidelity_tools.training.training_set import fetch_packages, list_pictures, load_picture

PICTURES = 120


@torch.no_grad()
def components(model, channels):
    """(mean (C,), principal directions (channels, C)) of the latents of training pictures."""
    fetch_packages()
    latents = []
    for job in list_pictures()[::10][:PICTURES]:
        for _, array in load_picture(job)[1][:1]:
            crop = array[:128, :128]
            if crop.shape[:2] == (128, 128):
                latents.append(model.encode(to_model([crop])).latent_dist.mean[0].flatten(1))
    values = torch.cat(latents, 1).double()
    mean = values.mean(1)
    _, vectors = torch.linalg.eigh(torch.cov(values))
    return mean, vectors.flip(1)[:, :channels].T


@torch.no_grad()
def narrowed(wide, channels):
    mean, turn = components(wide, channels)
    config = {k: v for k, v in wide.config.items() if not k.startswith("_")}
    config |= {"latent_channels": channels, "use_quant_conv": False, "use_post_quant_conv": False}
    narrow = AutoencoderKL.from_config(config)
    weights = {k: v.double() for k, v in wide.state_dict().items()}
    of = wide.config.latent_channels

    # Moments of the narrow model: turned means, and the log-variance of the kept directions' average.
    quant = weights["quant_conv.weight"][:, :, 0, 0]
    means, logvars = quant[:of], quant[of:].mean(0, keepdim=True).expand(channels, -1)
    rows = torch.cat([turn @ means, logvars])
    bias = torch.cat([turn @ (weights["quant_conv.bias"][:of] - mean), weights["quant_conv.bias"][of:].mean().expand(channels)])
    out = weights["encoder.conv_out.weight"]
    weights["encoder.conv_out.weight"] = torch.einsum("om,mcyx->ocyx", rows, out)
    weights["encoder.conv_out.bias"] = rows @ weights["encoder.conv_out.bias"] + bias

    # Back to the wide latents and through post_quant_conv. The constant part meets the padding of
    # conv_in only at the border, where training mends it.
    post = weights["post_quant_conv.weight"][:, :, 0, 0]
    constant = post @ mean + weights["post_quant_conv.bias"]
    into = weights["decoder.conv_in.weight"]
    weights["decoder.conv_in.bias"] += torch.einsum("ocyx,c->o", into, constant)
    weights["decoder.conv_in.weight"] = torch.einsum("ocyx,cl->olyx", into, post @ turn.T)

    kept = narrow.state_dict()
    narrow.load_state_dict({k: weights[k].float() for k in kept})
    return narrow


def main():
    parse = arguments.parser(__doc__)
    parse.add_argument("--channels", type=int, default=8)
    parse.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="writes FOLDER/vae")
    options = parse.parse_args()
    wide = AutoencoderKL.from_pretrained(BUILTIN / "vae", torch_dtype=torch.float32)
    narrowed(wide, options.channels).half().save_pretrained(options.out / "vae")


if __name__ == "__main__":
    main()
