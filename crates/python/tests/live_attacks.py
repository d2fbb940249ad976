"""Faults and innocents that were tried on the check after its rules stood, and that it got wrong then."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from live_adapters import attached
from live_faults import Fault

ATTACKS: list[tuple[Fault, str]] = []
"""Each with words that its title has to have."""


def attack(name: str, codes: str, layer: str | None, words: str) -> Any:
    def add(plant: Any) -> Any:
        ATTACKS.append((Fault(name, tuple(codes.split()), layer, plant), words))
        return plant

    return add


BLOCK = "decoder.up_blocks.2"
TO_Q = "encoder.mid_block.attentions.0.to_q"


@attack("a forward() that wraps the class's", "live-layer-differs", BLOCK, "around UpDecoderBlock2D.forward")
def wrapped(vae, monkeypatch):
    block = vae.get_submodule(BLOCK)
    right = block.forward
    block.forward = functools.wraps(right)(lambda *arguments, **keywords: right(*arguments, **keywords) * 1.05)


class Scaling:
    def __call__(self, module, given, made):
        return made * 1.05


@attack("a hook that is an object", "live-layer-differs", BLOCK, "has a hook, Scaling")
def hooked_by_an_object(vae, monkeypatch):
    vae.get_submodule(BLOCK).register_forward_hook(Scaling())


@attack("typed into an interpreter", "live-layer-differs", f"{BLOCK}.resnets.0", "is typed (<stdin>:1)")
def typed(vae, monkeypatch):
    resnet = vae.get_submodule(f"{BLOCK}.resnets.0")
    scope: dict[str, Any] = {"right": resnet.forward, "__name__": "__main__"}
    exec(compile("def typed(*rest, **keywords): return right(*rest, **keywords) * 1.05", "<stdin>", "exec"), scope)
    resnet.forward = scope["typed"]


class FastConv(torch.nn.Conv2d):
    def forward(self, x):
        return torch.nn.functional.conv2d(torch.nn.functional.pad(x, (2, 0, 2, 0)), self.weight, self.bias)


@attack("a class of one's own", "live-layer-differs", f"{BLOCK}.resnets.0.conv1", "is FastConv, its class has Conv2d")
def own_class(vae, monkeypatch):
    vae.get_submodule(f"{BLOCK}.resnets.0.conv1").__class__ = FastConv


@attack("a method of torch's replaced", "live-layer-differs", f"{BLOCK}.resnets.0.conv1", "_conv_forward is")
def conv_forward(vae, monkeypatch):
    layer = vae.get_submodule(f"{BLOCK}.resnets.0.conv1")
    right = layer._conv_forward
    layer._conv_forward = lambda *given: right(*given) * 1.05


@attack("torch's own function in the wrong place", "live-layer-differs", "decoder", "conv_act.forward is gelu")
def gelu(vae, monkeypatch):
    vae.decoder.conv_act.forward = torch.nn.functional.gelu


@attack("a hook on every module", "live-layer-differs", "encoder.conv_in", "a hook on every module")
def global_hook(vae, monkeypatch):
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, given, made: made * 1.05 if isinstance(module, torch.nn.Conv2d) else None
    )
    monkeypatch.setattr(torch, "_remove_hook_of_the_test", handle, raising=False)


@attack("a fault beside a log", "live-layer-differs", f"{BLOCK}.resnets.0.conv1", "_conv_forward is")
def beside_a_log(vae, monkeypatch):
    for module in vae.modules():
        module.register_forward_hook(lambda layer, given, made: None)
    conv_forward(vae, monkeypatch)


@attack("a fault beside a right processor", "live-layer-differs", "decoder.mid_block.attentions.0", "has a hook, Scaling")
def beside_a_processor(vae, monkeypatch):
    vae.set_attn_processor(AttnProcessor())
    vae.get_submodule("decoder.mid_block.attentions.0").register_forward_hook(Scaling())


@attack("a fault beside another eps", "live-layer-differs", f"{BLOCK}.resnets.0.norm1", "has a hook, Scaling")
def beside_eps(vae, monkeypatch):
    norm = vae.get_submodule(f"{BLOCK}.resnets.0.norm1")
    norm.eps = 1.0000001e-6
    norm.register_forward_hook(Scaling())


@attack("autocast and a fault", "live-autocast", None, "bfloat16")
def autocast_and_a_fault(vae, monkeypatch):
    vae.get_submodule("decoder.up_blocks.1").register_forward_hook(lambda *given: given[-1] * 1.2)
    right = vae.decode

    def decode(*arguments, **keywords):
        with torch.autocast("cpu", torch.bfloat16):
            return right(*arguments, **keywords)

    monkeypatch.setattr(vae, "decode", decode)


@attack("a hook on the way in", "live-layer-differs", "post_quant_conv", "has a hook")
def on_the_way_in(vae, monkeypatch):
    vae.post_quant_conv.register_forward_pre_hook(lambda layer, given: (given[0] * 1.1,))


@attack("only the tuple is wrong", "live-forward-differs", "decode", "only_the_tuple")
def only_the_tuple(vae, monkeypatch):
    right = vae.decode

    def decode(z, return_dict=True, generator=None):
        return right(z) if return_dict else (right(z).sample * 0.8,)

    monkeypatch.setattr(vae, "decode", decode)


@attack("a gain of one hundredth in bf16", "live-layer-differs", "decoder.conv_out", "as a whole")
def small_gain(vae, monkeypatch):
    vae.bfloat16().decoder.conv_out.register_forward_hook(lambda layer, given, made: made * 1.007)


@attack("a gain of one hundredth in bf16, in decode()", "live-forward-differs", "decode", "too large or too small as a whole")
def small_gain_of_decode(vae, monkeypatch):
    right = vae.bfloat16().decode
    monkeypatch.setattr(vae, "decode", lambda z, return_dict=True, generator=None: (right(z).sample * 1.012,))


@attack("no tensor", "live-forward-differs", "decode", "returned NoneType")
def nothing(vae, monkeypatch):
    monkeypatch.setattr(vae, "decode", lambda z, **keywords: None)


@attack("a block that returns nothing", "live-forward-differs live-layer-differs", None, "")
def block_returns_nothing(vae, monkeypatch):
    vae.decoder.mid_block.forward = lambda *given, **keywords: None


@attack("a block that is a stale output", "live-layer-differs", "encoder.down_blocks.0", "stale")
def stale(vae, monkeypatch):
    block = vae.encoder.down_blocks[0]
    kept: list[Any] = []

    def stale(self, hidden_states):
        kept.append(torch.zeros_like(hidden_states[..., ::2, ::2]) + 0.1)
        return kept[0]

    block.forward = MethodType(stale, block)


@attack("a mode that is not the mean", "live-forward-differs", "latent_dist", "DiagonalGaussianDistribution.mode is")
def mode(vae, monkeypatch):
    monkeypatch.setattr(DiagonalGaussianDistribution, "mode", lambda self: self.mean * 1.05)


@attack("a mirrored kernel", "live-weights-differ", f"{BLOCK}.resnets.0.conv1", "its kernel is mirrored")
def mirrored(vae, monkeypatch):
    weight = vae.get_submodule(f"{BLOCK}.resnets.0.conv1").weight
    weight.data = weight.data.flip(3)


class Wrap(torch.nn.Module):
    def __init__(self, inner, scale):
        super().__init__()
        self.module, self.scale = inner, scale

    def forward(self, *given, **keywords):
        return self.module(*given, **keywords) * self.scale


@attack("a wrapper of one's own", "live-layer-differs", BLOCK, "is Wrap around UpDecoderBlock2D")
def own_wrapper(vae, monkeypatch):
    vae.decoder.up_blocks[2] = Wrap(vae.decoder.up_blocks[2], 1.05)


class OwnConv(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x):
        return torch.nn.functional.conv2d(x, self.weight, self.bias, padding=1) * 1.05


@attack("a class that derives from no class of torch's", "live-layer-differs", f"{BLOCK}.resnets.0.conv1", "input: " + BLOCK)
def own_layer(vae, monkeypatch):
    vae.decoder.up_blocks[2].resnets[0].conv1 = OwnConv(vae.decoder.up_blocks[2].resnets[0].conv1)


@attack("a block in bf16 whose gain is lost before the end", "live-layer-differs", "decoder.up_blocks.3", "has a hook")
def gain_of_a_block(vae, monkeypatch):
    vae.bfloat16().decoder.up_blocks[3].register_forward_hook(lambda layer, given, made: made * 1.02)


@attack("a hook in what is compiled", "live-layer-differs", "decoder", "input: decoder.up_blocks.1 has a hook")
def compiled_with_a_hook(vae, monkeypatch):
    # Of one function torch compiles so many variants, and then runs it as it is.
    torch.compiler.reset()
    vae.decoder.up_blocks[1].register_forward_hook(lambda layer, given, made: made * 1.05)
    vae.decoder = torch.compile(vae.decoder, backend="eager")


@attack("a compiler that is wrong, and no hook", "live-layer-differs", "decoder", "input: decoder is compiled")
def wrong_compiler(vae, monkeypatch):
    torch.compiler.reset()
    vae.decoder.up_blocks[1].register_forward_hook(lambda layer, given, made: None)
    vae.decoder = torch.compile(vae.decoder, backend=lambda graph, given: lambda *each: tuple(x * 1.05 for x in graph(*each)))


@attack("a decode() that takes no tuple", "live-forward-differs", "decode", "decode() is no_tuple.<lambda>")
def no_tuple(vae, monkeypatch):
    right = vae.decode
    monkeypatch.setattr(vae, "decode", lambda z, return_dict=True, generator=None: right(z, return_dict).sample)


@attack("slicing that mixes pictures up", "live-forward-differs", "decode", "of two pictures, with slicing on")
def mixed_up(vae, monkeypatch):
    vae.enable_slicing()
    right = vae.decode

    def decode(z, return_dict=True, generator=None):
        return right(z[:1].expand_as(z), return_dict)

    monkeypatch.setattr(vae, "decode", decode)


class Rough(torch.Tensor):
    """A weight that is quantised, and computes by itself."""

    scale = 1.0

    @classmethod
    def __torch_function__(cls, function, types, given=(), keywords=None):
        made = super().__torch_function__(function, types, given, keywords or {})
        if function is not torch.nn.functional.linear:
            return made
        made = made.as_subclass(torch.Tensor)
        step = made.abs().amax() / 127
        return (made / step).round() * step * cls.scale

    def dequantize(self):
        return self.as_subclass(torch.Tensor)


class Wrong(Rough):
    scale = 2.0


def held_in(vae, kind):
    """All linear layers with weights of a quantised tensor's class."""
    for layer in vae.modules():
        if isinstance(layer, torch.nn.Linear):
            layer.weight = torch.nn.Parameter(layer.weight.detach().as_subclass(kind), requires_grad=False)
    return vae


@attack("a quantised tensor that computes wrongly", "live-layer-differs", TO_Q, "is a Wrong")
def wrong_tensor(vae, monkeypatch):
    held_in(vae, Wrong)


@attack("an adapter that runs otherwise than it merges", "live-layer-differs", TO_Q, "the LoRA adapter 'default' of " + TO_Q)
def wrong_adapter(vae, monkeypatch):
    monkeypatch.setattr(attached(vae)[0], "_delta", lambda name: torch.zeros(()))


INNOCENT: dict[str, Any] = {}
"""What is unlike the class, or how it is run, and computes the same."""


def innocent(plant: Any) -> Any:
    INNOCENT[plant.__name__] = plant
    return plant


@innocent
def fused_projections(vae):
    vae.fuse_qkv_projections()
    return vae


@innocent
def a_right_processor(vae):
    vae.set_attn_processor(AttnProcessor())
    return vae


@innocent
def a_scripted_layer(vae):
    vae.decoder.conv_in = torch.jit.script(vae.decoder.conv_in)
    return vae


@innocent
def weight_norm(vae):
    torch.nn.utils.parametrizations.weight_norm(vae.decoder.conv_in)
    return vae


@innocent
def an_average(vae):
    return torch.optim.swa_utils.AveragedModel(vae)


@innocent
def a_fused_block(vae):
    resnet = vae.decoder.mid_block.resnets[0]

    def forward(self, input_tensor, temb, *rest, **keywords):
        norm = torch.nn.functional.group_norm
        made = self.nonlinearity(norm(input_tensor, 8, self.norm1.weight, self.norm1.bias, 1e-6))
        made = self.conv1(made)
        return input_tensor + self.conv2(self.nonlinearity(self.norm2(made)))

    resnet.forward = MethodType(forward, resnet)
    return vae


@innocent
def a_sequence_of_one(vae):
    resnet = vae.decoder.mid_block.resnets[0]
    resnet.conv1 = torch.nn.Sequential(resnet.conv1)
    return vae


@innocent
def a_wrapper_of_ones_own(vae):
    vae.decoder.up_blocks[2] = Wrap(vae.decoder.up_blocks[2], 1)
    return vae
