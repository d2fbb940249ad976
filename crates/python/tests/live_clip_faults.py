"""Faults of a VAE of clips in memory, each planted in diffusers' own Wan 2.1, Wan 2.2, Qwen-Image or Qwen-Image 2.1.

The list stood before the rules that find them. Layers are those of `live_models`, with one block a level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from diffusers.models.autoencoders import autoencoder_kl_wan
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from live_faults import Fault
from live_models import OF_CLIPS

WAN, WAN_22, QWEN, QWEN_21 = OF_CLIPS
# Those that remember frames: Qwen-Image 2.1's refuses to.
OF_FRAMES = (WAN, WAN_22, QWEN)
# Of the picture.
SIDE = 64

UP = "decoder.up_blocks.1.resnets.0"
OTHER_WEIGHTS = "live-weights-differ weights-untrained"
SAMPLER = "decoder.up_blocks.0.upsamplers.0"
ATTENTION = "encoder.mid_block.attentions.0"


@dataclass
class ClipFault(Fault):
    """One fault in a model of one of these classes."""

    model: str = ""
    """Its name in `live_models.MODELS`."""
    words: str = ""
    """What its title has to say."""


CLIP_FAULTS: list[ClipFault] = []


def planted(
    name: str, codes: str, layer: str | None = None, models: tuple[str, ...] = (WAN,), words: str = ""
) -> Callable[[Any], Any]:
    def add(plant: Any) -> Any:
        for model in models:
            CLIP_FAULTS.append(ClipFault(f"{name}, {model}", tuple(codes.split()), layer, plant, model, words))
        return plant

    return add


# Weights that are not those of the original.


@planted("a weight edited in place", "live-weights-differ", f"{UP}.conv1", OF_CLIPS, "multiplied by 1.5")
def edited(vae, monkeypatch):
    with torch.no_grad():
        vae.get_submodule(f"{UP}.conv1").weight.mul_(1.5)


@planted("a layer over time, which no picture meets", OTHER_WEIGHTS, "encoder.down_blocks.3.time_conv", (WAN, QWEN))
def over_time(vae, monkeypatch):
    vae.get_submodule("encoder.down_blocks.3.time_conv").reset_parameters()


@planted("a kernel turned in time", "live-weights-differ", f"{UP}.conv2", (WAN, WAN_22), "turned in time")
def turned_in_time(vae, monkeypatch):
    layer = vae.get_submodule(f"{UP}.conv2")
    layer.weight.data = layer.weight.data.flip(2)


@planted("a kernel of three axes mirrored", "live-weights-differ", f"{UP}.conv1", (QWEN,), "mirrored")
def mirrored(vae, monkeypatch):
    layer = vae.get_submodule(f"{UP}.conv1")
    layer.weight.data = layer.weight.data.flip(4)


@planted("gamma halved", "live-weights-differ", "decoder.norm_out", (WAN_22,), "multiplied by 0.5")
def gamma(vae, monkeypatch):
    with torch.no_grad():
        vae.decoder.norm_out.gamma.mul_(0.5)


@planted("query and key exchanged in to_qkv", "live-weights-differ", "decoder.mid_block.attentions.0.to_qkv", (QWEN,))
def exchanged(vae, monkeypatch):
    layer = vae.get_submodule("decoder.mid_block.attentions.0.to_qkv")
    with torch.no_grad():
        for values in (layer.weight, layer.bias):
            query, key, value = values.clone().chunk(3)
            values.copy_(torch.cat([key, query, value]))


@planted("the VAE of another pipeline", "live-weights-differ", None, (WAN_22,))
def another(vae, monkeypatch):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.add_(0.2 * parameter.abs().mean() * torch.randn(parameter.shape, generator=generator))


@planted("NaN in gamma", "weights-non-finite", "encoder.mid_block.resnets.0.norm1", (WAN,))
def not_a_number(vae, monkeypatch):
    with torch.no_grad():
        vae.encoder.mid_block.resnets[0].norm1.gamma[3] = float("nan")


@planted("statistics of another model in the config", "live-config-differs", None, OF_CLIPS, "latents_mean")
def statistics(vae, monkeypatch):
    vae.register_to_config(latents_mean=[0.2] * vae.config.z_dim)


# Layers that compute something else.


@planted("padding before and behind in time", "live-layer-differs", f"{UP}.conv1", (WAN, QWEN), "_padding")
def not_causal(vae, monkeypatch):
    vae.get_submodule(f"{UP}.conv1")._padding = (1, 1, 1, 1, 1, 1)


@planted("padding with copies of the first frame", "live-layer-differs", "decoder.conv_in", (WAN_22,), "replicated")
def replicated(vae, monkeypatch):
    layer = vae.decoder.conv_in

    def replicated(self, x, cache_x=None):
        padded = torch.nn.functional.pad(torch.cat([x, x, x], 2), (1, 1, 1, 1, 0, 0))
        return torch.nn.functional.conv3d(padded, self.weight, self.bias)

    layer.forward = MethodType(replicated, layer)


@planted("a norm without the root of its channels", "live-layer-differs", f"{UP}.norm2", (WAN_22, QWEN), "scale is 1.0")
def unscaled_norm(vae, monkeypatch):
    vae.get_submodule(f"{UP}.norm2").scale = 1.0


@planted("a norm of a device that loses precision", "live-layer-differs", "encoder.down_blocks.0.norm1", (WAN, QWEN), "normalize")
def coarse_norm(vae, monkeypatch):
    right = torch.nn.functional.normalize

    def wrong(input, p=2.0, dim=1, eps=1e-12, out=None):
        return (right(input, p, dim, eps) * 64).round() / 64

    monkeypatch.setattr(torch.nn.functional, "normalize", wrong)


@planted("conv3d of a device that is wrong", "live-layer-differs", "encoder.conv_in", (WAN_22, QWEN), "conv3d")
def wrong_conv3d(vae, monkeypatch):
    right = torch.nn.functional.conv3d

    def wrong(input, weight, *rest, **keywords):
        made = right(input, weight, *rest, **keywords)
        return made.roll(1, -1) if weight.shape[-1] == 3 else made

    monkeypatch.setattr(torch.nn.functional, "conv3d", wrong)


@planted(
    "bilinear in place of nearest-exact", "live-layer-differs", "decoder.up_blocks.0.upsamplers.0.resample", (WAN, QWEN), "mode"
)
def bilinear(vae, monkeypatch):
    vae.decoder.up_blocks[0].upsamplers[0].resample[0].mode = "bilinear"


@planted("padding on the other sides of a sampler", "live-layer-differs", "encoder.down_blocks.1.resample", (WAN, QWEN), "padding")
def other_sides(vae, monkeypatch):
    vae.encoder.down_blocks[1].resample[0].padding = (1, 0, 1, 0)


@planted("softmax without its scale", "live-layer-differs", ATTENTION, (WAN, WAN_22), "scaled_dot_product_attention")
def unscaled(vae, monkeypatch):
    right = torch.nn.functional.scaled_dot_product_attention

    def wrong(query, key, value, *arguments, **keywords):
        # What is drawn by torch attends to everything alike.
        return right(query * 40, key, value, *arguments, **keywords)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", wrong)


@planted("an attention without its residual", "live-layer-differs", "decoder.mid_block.attentions.0", (WAN_22, QWEN), "forgetful")
def no_residual(vae, monkeypatch):
    attention = vae.decoder.mid_block.attentions[0]
    right = attention.forward

    def forgetful(x):
        return right(x) - x

    attention.forward = forgetful


@planted("another activation", "live-layer-differs", "decoder.up_blocks.2.resnets.1", (WAN, WAN_22), "nonlinearity")
def activation(vae, monkeypatch):
    vae.decoder.up_blocks[2].resnets[1].nonlinearity = torch.nn.ReLU()


@planted("means of other groups in the shortcut", "live-layer-differs", "encoder.down_blocks.0.avg_shortcut", (WAN_22,), "permuted")
def permuted_shortcut(vae, monkeypatch):
    shortcut = vae.encoder.down_blocks[0].avg_shortcut
    right = shortcut.forward

    def permuted(x):
        return right(x.flip(1))

    shortcut.forward = permuted


@planted("two frames made of the first", "live-layer-differs", "decoder.up_blocks.0.avg_shortcut", (WAN_22,), "(1, 96, 2, ")
def not_first(vae, monkeypatch):
    right = vae.decoder.forward
    monkeypatch.setattr(vae.decoder, "forward", lambda x, **keywords: right(x, **{**keywords, "first_chunk": False}))


@planted("a hook that scales what it sees", "live-layer-differs", "decoder.up_blocks.2", OF_CLIPS, "has a hook")
def hook(vae, monkeypatch):
    vae.decoder.up_blocks[2].register_forward_hook(lambda layer, given, made: made * 1.05)


@planted("a gain of one tenth in bf16", "live-layer-differs", "decoder.up_blocks.2", (WAN_22, QWEN), "has a hook")
def gain(vae, monkeypatch):
    vae.bfloat16().decoder.up_blocks[2].register_forward_hook(lambda layer, given, made: made * 1.1)


@planted("a compiler that is wrong", "live-layer-differs", "decoder", (WAN,), "is compiled")
def compiled(vae, monkeypatch):
    def backend(graph, examples):
        return lambda *inputs: tuple(made * 1.02 if made.is_floating_point() else made for made in graph.forward(*inputs))

    torch.compiler.reset()
    vae.decoder = torch.compile(vae.decoder, backend=backend)


# What is remembered of frames.


@planted("a cache of frames that is never cleared", "live-layer-differs", "encoder.conv_in", OF_FRAMES, "frames of an earlier call")
def stale_cache(vae, monkeypatch):
    vae.clear_cache()
    monkeypatch.setattr(vae, "clear_cache", lambda: None)
    with torch.no_grad():
        vae.decode(vae.encode(torch.linspace(-1, 1, 3 * SIDE * SIDE).reshape(1, 3, 1, SIDE, SIDE)).latent_dist.mode())


# What is done around the layers.


@planted("patches in another order", "live-forward-differs", "encode", (WAN_22,), "patchify")
def patch_order(vae, monkeypatch):
    right = autoencoder_kl_wan.patchify
    monkeypatch.setattr(autoencoder_kl_wan, "patchify", lambda x, patch_size: right(x.mT, patch_size).mT)


@planted("patches taken apart in another order", "live-forward-differs", "decode", (WAN_22,), "unpatchify")
def unpatch_order(vae, monkeypatch):
    right = autoencoder_kl_wan.unpatchify
    monkeypatch.setattr(autoencoder_kl_wan, "unpatchify", lambda x, patch_size: right(x.mT, patch_size).mT)


@planted("a decoder that does not clamp", "live-forward-differs", "decode", (WAN_22, QWEN), "unclamped")
def unclamped(vae, monkeypatch):
    with torch.no_grad():
        vae.decoder.conv_out.weight *= 30

    def unclamped(self, z, return_dict=True):
        self.clear_cache()
        first = {"first_chunk": True} if isinstance(self, AutoencoderKLWan) else {}
        made = self.decoder(self.post_quant_conv(z), feat_cache=self._feat_map, feat_idx=[0], **first)
        patch = self.config.get("patch_size")
        return DecoderOutput(made if patch is None else autoencoder_kl_wan.unpatchify(made, patch))

    monkeypatch.setattr(type(vae), "_decode", unclamped)


@planted("quant_conv forgotten", "live-forward-differs", "quant_conv", (WAN, QWEN))
def skipped(vae, monkeypatch):
    monkeypatch.setattr(vae, "_encode", lambda x: vae.encoder(x))


@planted("latents normalised once more", "live-forward-differs", "decode", (WAN, WAN_22), "normalised")
def normalised(vae, monkeypatch):
    right = vae.decode
    mean, std = (torch.tensor(values).view(1, -1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std))

    def normalised(z, *rest, **keywords):
        return right(z * std + mean, *rest, **keywords)

    monkeypatch.setattr(vae, "decode", normalised)


@planted("a mode that is not the mean", "live-forward-differs", "latent_dist", (WAN_22, QWEN), "DiagonalGaussianDistribution.mode")
def mode(vae, monkeypatch):
    monkeypatch.setattr(DiagonalGaussianDistribution, "mode", lambda self: self.mean * 1.05)


@planted("slicing that mixes pictures up", "live-forward-differs", "decode", (WAN,), "with slicing on")
def mixed_up(vae, monkeypatch):
    vae.enable_slicing()
    right = vae.decode

    def decode(z, return_dict=True):
        return right(z[:1].expand_as(z), return_dict)

    monkeypatch.setattr(vae, "decode", decode)


@planted("a frame axis that is dropped", "live-forward-differs", "decode", (QWEN,), "expected a clip")
def no_frame(vae, monkeypatch):
    right = vae.decode
    monkeypatch.setattr(vae, "decode", lambda z, return_dict=True: (right(z).sample[:, :, 0],))


@planted("two frames of one", "live-forward-differs", "decode", (WAN,), "(1, 3, 2, 64, 64)")
def two_frames(vae, monkeypatch):
    right = vae.decode
    monkeypatch.setattr(vae, "decode", lambda z, return_dict=True: (right(z).sample.repeat(1, 1, 2, 1, 1),))


# How it is run.


@planted("tiling left on", "live-tiling", None, OF_CLIPS, "tiles of 48")
def tiling(vae, monkeypatch):
    vae.enable_tiling(48, 48, 32, 32)


@planted("eval() forgotten", "live-training-mode", f"{UP}.dropout", (WAN, QWEN))
def training(vae, monkeypatch):
    vae.get_submodule(f"{UP}.dropout").p = 0.2
    vae.train()


@planted("autocast", "live-autocast", None, (WAN_22, QWEN))
def autocast(vae, monkeypatch):
    right = vae.decode

    def decode(*arguments, **keywords):
        with torch.autocast("cpu", torch.bfloat16):
            return right(*arguments, **keywords)

    monkeypatch.setattr(vae, "decode", decode)


@planted("f16 that overflows", "fp16-overflow-decoder", "decoder.conv_in", (WAN, WAN_22))
def overflow(vae, monkeypatch):
    with torch.no_grad():
        vae.post_quant_conv.weight *= 100
        vae.decoder.conv_in.weight *= 30000
    vae.half()
