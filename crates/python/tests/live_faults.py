"""Faults of a VAE in memory, each planted in diffusers' own AutoencoderKL with the weights of `builtin`.

The list stood before the rules that find them: what a row has to be found as is what its user needs to hear.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType
from typing import Any, Callable

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

UP = "decoder.up_blocks.1.resnets.0"


@dataclass
class Fault:
    """One fault and what has to be said of it."""

    name: str
    codes: tuple[str, ...]
    """Any of these, as the first error or warning."""
    layer: str | None
    """The layer that has to be named; `None` where the fault is no layer's."""
    plant: Callable[[AutoencoderKL, pytest.MonkeyPatch], dict[str, Any] | None]
    """Plants it; returns keywords for `check`."""


FAULTS: list[Fault] = []


def planted(name: str, codes: str, layer: str | None = None) -> Callable[[Any], Any]:
    def add(plant: Any) -> Any:
        FAULTS.append(Fault(name, tuple(codes.split()), layer, plant))
        return plant

    return add


def module(vae: AutoencoderKL, name: str) -> Any:
    return vae.get_submodule(name)


# Weights that are not those of the file. `against` is the folder that they came from.


@planted("a weight edited in place", "live-weights-differ", f"{UP}.conv1")
def edited(vae, monkeypatch):
    with torch.no_grad():
        module(vae, f"{UP}.conv1").weight.mul_(1.5)


@planted("a layer initialised anew", "live-weights-differ weights-untrained", "encoder.mid_block.resnets.0.conv2")
def initialised(vae, monkeypatch):
    module(vae, "encoder.mid_block.resnets.0.conv2").reset_parameters()


@planted("a low-rank change fused", "live-weights-differ", "decoder.mid_block.attentions.0.to_q")
def low_rank(vae, monkeypatch):
    layer = module(vae, "decoder.mid_block.attentions.0.to_q")
    generator = torch.Generator().manual_seed(1)
    down, up = (torch.randn(shape, generator=generator) for shape in ((2, layer.in_features), (layer.out_features, 2)))
    with torch.no_grad():
        layer.weight += 0.05 * up @ down


@planted("query and key exchanged", "live-weights-differ", "decoder.mid_block.attentions.0.to_q")
def exchanged(vae, monkeypatch):
    attention = module(vae, "decoder.mid_block.attentions.0")
    query, key = attention.to_q.state_dict(), attention.to_k.state_dict()
    query = {name: value.clone() for name, value in query.items()}
    attention.to_q.load_state_dict(key)
    attention.to_k.load_state_dict(query)


@planted("weights through 8 bits", "live-weights-differ weights-quantised")
def float8(vae, monkeypatch):
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.copy_(parameter.to(torch.float8_e4m3fn))


@planted("the VAE of another pipeline", "live-weights-differ")
def another(vae, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.2 * parameter.abs().mean() * torch.randn(parameter.shape, generator=generator))


@planted("a bias taken away", "live-layer-differs live-weights-differ weights-missing", "decoder.conv_out")
def no_bias(vae, monkeypatch):
    module(vae, "decoder.conv_out").bias = None


@planted("NaN in a weight", "weights-non-finite", "encoder.down_blocks.1.resnets.0.norm1")
def not_a_number(vae, monkeypatch):
    with torch.no_grad():
        module(vae, "encoder.down_blocks.1.resnets.0.norm1").weight[3] = float("nan")


@planted("another scaling_factor in the config", "live-config-differs")
def scaling_factor(vae, monkeypatch):
    vae.register_to_config(scaling_factor=0.18215)


# Layers that compute something else.


@planted("a convolution of a device that is wrong for strides", "live-layer-differs", "encoder.down_blocks.0.downsamplers.0.conv")
def strided(vae, monkeypatch):
    right = torch.nn.functional.conv2d

    def wrong(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        made = right(input, weight, bias, stride, padding, dilation, groups)
        return made.roll(1, -1) if tuple(torch.as_tensor(stride).reshape(-1).tolist())[0] == 2 else made

    monkeypatch.setattr(torch.nn.functional, "conv2d", wrong)


@planted("a group norm of a device that loses precision", "live-layer-differs", "encoder.down_blocks.0.resnets.0.norm1")
def coarse_norm(vae, monkeypatch):
    right = torch.nn.functional.group_norm

    def wrong(input, num_groups, weight=None, bias=None, eps=1e-5):
        made = right(input, num_groups, weight, bias, eps)
        return (made * 16).round() / 16

    monkeypatch.setattr(torch.nn.functional, "group_norm", wrong)


@planted("softmax without its scale", "live-layer-differs", "encoder.mid_block.attentions.0")
def unscaled(vae, monkeypatch):
    right = torch.nn.functional.scaled_dot_product_attention

    def wrong(query, key, value, *arguments, **keywords):
        return right(query, key, value, *arguments, **{**keywords, "scale": 1.0})

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", wrong)


@planted("an attention processor that forgets the residual", "live-layer-differs", "decoder.mid_block.attentions.0")
def processor(vae, monkeypatch):
    class Forgetful:
        def __call__(self, attention, hidden_states, *arguments, **keywords):
            batch, channels, height, width = hidden_states.shape
            tokens = attention.group_norm(hidden_states.view(batch, channels, -1)).transpose(1, 2)
            query, key, value = attention.to_q(tokens), attention.to_k(tokens), attention.to_v(tokens)
            mixed = torch.nn.functional.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
            return attention.to_out[0](mixed).transpose(1, 2).reshape(batch, channels, height, width)

    module(vae, "decoder.mid_block.attentions.0").set_processor(Forgetful())


@planted("another eps", "live-layer-differs", f"{UP}.norm2")
def eps(vae, monkeypatch):
    module(vae, f"{UP}.norm2").eps = 1e-1


@planted("other groups", "live-layer-differs", "decoder.conv_norm_out")
def groups(vae, monkeypatch):
    module(vae, "decoder.conv_norm_out").num_groups = 4


@planted("another activation", "live-layer-differs", "decoder.up_blocks.0.resnets.1")
def activation(vae, monkeypatch):
    module(vae, "decoder.up_blocks.0.resnets.1").nonlinearity = torch.nn.ReLU()


@planted("convolutions made circular, for textures", "live-layer-differs", "decoder.up_blocks.2.resnets.0.conv1")
def circular(vae, monkeypatch):
    layer = module(vae, "decoder.up_blocks.2.resnets.0.conv1")
    layer.padding_mode = "circular"
    layer._reversed_padding_repeated_twice = [1, 1, 1, 1]


@planted("bilinear in place of nearest", "live-layer-differs", "decoder.up_blocks.0.upsamplers.0")
def bilinear(vae, monkeypatch):
    upsampler = module(vae, "decoder.up_blocks.0.upsamplers.0")

    def forward(self, hidden_states, output_size=None, *arguments, **keywords):
        larger = torch.nn.functional.interpolate(hidden_states, scale_factor=2.0, mode="bilinear")
        return self.conv(larger)

    upsampler.forward = MethodType(forward, upsampler)


@planted("padding on both sides of the downsampler", "live-layer-differs", "encoder.down_blocks.1.downsamplers.0")
def symmetric(vae, monkeypatch):
    downsampler = module(vae, "encoder.down_blocks.1.downsamplers.0")

    def forward(self, hidden_states, *arguments, **keywords):
        return self.conv(torch.nn.functional.pad(hidden_states, (1, 0, 1, 0)))

    downsampler.forward = MethodType(forward, downsampler)


@planted("a hook that scales what it sees", "live-layer-differs", "decoder.up_blocks.2")
def hook(vae, monkeypatch):
    module(vae, "decoder.up_blocks.2").register_forward_hook(lambda layer, given, made: made * 1.05)


@planted("another output_scale_factor", "live-layer-differs", "encoder.mid_block.resnets.1")
def output_scale(vae, monkeypatch):
    module(vae, "encoder.mid_block.resnets.1").output_scale_factor = 2**0.5


@planted("a compiler that is wrong", "live-layer-differs", "decoder")
def compiled(vae, monkeypatch):
    def backend(graph, examples):
        return lambda *inputs: tuple(made * 1.02 for made in graph.forward(*inputs))

    vae.decoder = torch.compile(vae.decoder, backend=backend)


# What is done around the layers.


@planted("quant_conv forgotten", "live-forward-differs", "quant_conv")
def skipped(vae, monkeypatch):
    monkeypatch.setattr(vae, "_encode", lambda x: vae.encoder(x))


@planted("latents scaled twice", "live-forward-differs", "decode")
def scaled_twice(vae, monkeypatch):
    right = vae.decode
    monkeypatch.setattr(vae, "decode", lambda z, *rest, **keywords: right(z / vae.config.scaling_factor, *rest, **keywords))


@planted("the variance for the standard deviation", "live-forward-differs", "latent_dist")
def variance(vae, monkeypatch):
    def sample(self, generator=None):
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype)
        return self.mean + self.var * noise

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", sample)


# How it is run.


@planted("tiling left on", "live-tiling")
def tiling(vae, monkeypatch):
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size = 64, 8


@planted("eval() forgotten", "live-training-mode", f"{UP}.dropout")
def training(vae, monkeypatch):
    module(vae, f"{UP}.dropout").p = 0.2
    vae.train()


@planted("autocast", "live-autocast")
def autocast(vae, monkeypatch):
    right = vae.decode

    def decode(*arguments, **keywords):
        with torch.autocast("cpu", torch.bfloat16):
            return right(*arguments, **keywords)

    monkeypatch.setattr(vae, "decode", decode)


@planted("f16 that overflows", "fp16-overflow-decoder", "decoder.conv_in")
def overflow(vae, monkeypatch):
    with torch.no_grad():
        vae.decoder.conv_in.weight *= 30000
    vae.half()
