"""Mistakes that ports of AutoencoderKL make, planted into diffusers' own model.

`plant` changes a loaded model, or its module, for the rest of the process. Where a mistake could be
made in one layer or in all, it is made in one: the least visible way.
"""

import math
import sys
from dataclasses import dataclass
from typing import Callable

import torch
from diffusers.models.autoencoders import vae as diffusers_vae


@dataclass
class Fault:
    plant: Callable
    cases: tuple  # where it must show


def one_eps(vae):
    """The two norms in which tiny-variance shows it least."""
    vae.get_submodule("encoder.mid_block.resnets.1.norm1").eps = 1e-5
    vae.get_submodule("decoder.up_blocks.2.resnets.1.norm1").eps = 1e-5


def symmetric_padding(vae):
    """In the last downsampling alone."""
    last = [module for module in vae.modules() if type(module).__name__ == "Downsample2D"][-1]
    last.padding = 1
    last.conv.padding = (1, 1)


def no_clamp(vae):
    class Unclamped(diffusers_vae.DiagonalGaussianDistribution):
        def __init__(self, parameters):
            super().__init__(parameters)
            self.std = torch.exp(0.5 * parameters.chunk(2, dim=1)[1])

    sys.modules[type(vae).__module__].DiagonalGaussianDistribution = Unclamped


def unscaled_attention(vae):
    """Without 1 / sqrt(d): as if the queries were larger by sqrt(d)."""
    for half in (vae.encoder, vae.decoder):
        query = half.mid_block.attentions[0].to_q
        query.weight.data *= math.sqrt(query.out_features)
        query.bias.data *= math.sqrt(query.out_features)


def approximate_gelu(vae):
    for module in vae.modules():
        if isinstance(module, torch.nn.GELU):
            module.approximate = "tanh"


def act_fn_after_the_last_norm(vae):
    """conv_act as config.json's act_fn; diffusers has SiLU there whatever the config says."""
    for half in (vae.encoder, vae.decoder):
        half.conv_act = half.mid_block.resnets[0].nonlinearity


# Where a tolerance is whole steps of the type.
IN_16_BITS = ("sd-small-f16-mode", "builtin-f16-mode", "sd-small-bf16-mode", "builtin-bf16-mode")
FAULTS = {
    "GroupNorm eps 1e-5 in one norm": Fault(one_eps, ("tiny-variance-mode", "tiny-variance-sample")),
    "symmetric padding in one downsampling": Fault(
        symmetric_padding,
        ("builtin-small", "sd-v1-4-96x64", "sd-small-mode", "flux1-small-mode", "tiny-variance-mode", *IN_16_BITS),
    ),
    "log-variance not clamped": Fault(no_clamp, ("extreme-logvar-sample",)),
    "attention without 1 / sqrt(d)": Fault(
        # Not builtin-bf16-mode: a trained attention is worth four steps of bf16, which is the tolerance.
        unscaled_attention,
        ("builtin-small", "sd-v1-4-96x64", "sd-small-mode", *IN_16_BITS[:-1]),
    ),
    "GELU by its tanh approximation": Fault(approximate_gelu, ("act-gelu-mode",)),
    "act_fn in place of conv_act": Fault(act_fn_after_the_last_norm, ("act-mish-mode", "act-gelu-mode")),
}
