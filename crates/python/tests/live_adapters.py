"""A LoRA as peft attaches it, which the environment of the tests does not have."""

from __future__ import annotations

from typing import Any

import torch


class LoraLayer:
    """What peft's layers of this kind derive from."""

    adapter_layer_names = ("lora_A", "lora_B")

    def __init__(self, name: str) -> None:
        self.active_adapters = [name]
        self.merged_adapters: list[str] = []
        self.disable_adapters = False
        self.use_dora = {name: False}


class Linear(torch.nn.Module, LoraLayer):
    def __init__(self, layer: torch.nn.Linear, name: str, rank: int, generator: torch.Generator) -> None:
        torch.nn.Module.__init__(self)
        LoraLayer.__init__(self, name)
        self.base_layer = layer
        down, up = torch.nn.Linear(layer.in_features, rank, bias=False), torch.nn.Linear(rank, layer.out_features, bias=False)
        for each in (down, up):
            each.weight.data = torch.randn(each.weight.shape, generator=generator) * 0.1
        self.lora_A, self.lora_B = torch.nn.ModuleDict({name: down}), torch.nn.ModuleDict({name: up})

    def _delta(self, name: str) -> torch.Tensor:
        return self.lora_B[name].weight @ self.lora_A[name].weight

    def merge(self) -> None:
        for name in self.active_adapters:
            self.base_layer.weight.data += self._delta(name)
            self.merged_adapters.append(name)

    def unmerge(self) -> None:
        while self.merged_adapters:
            self.base_layer.weight.data -= self._delta(self.merged_adapters.pop())

    def forward(self, x: torch.Tensor, *given: Any, **keywords: Any) -> torch.Tensor:
        made = self.base_layer(x)
        if self.disable_adapters or self.merged_adapters:
            return made
        return made + sum(self.lora_B[name](self.lora_A[name](x)) for name in self.active_adapters)


def attached(vae: Any, name: str = "default", rank: int = 2) -> list[Linear]:
    """Attaches one to the queries and values of the mid-blocks."""
    generator = torch.Generator().manual_seed(4)
    layers = []
    for half in (vae.encoder, vae.decoder):
        attention = half.mid_block.attentions[0]
        for each in ("to_q", "to_v"):
            layers.append(Linear(getattr(attention, each), name, rank, generator))
            setattr(attention, each, layers[-1])
    return layers
