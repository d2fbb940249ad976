"""Adapters, such as LoRA's, that are attached to layers as peft attaches them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vae_fidelity._errors import VaeFidelityError


@dataclass(frozen=True)
class Adapter:
    """One adapter of one layer, which adds to what the layer computes."""

    kind: str
    """`LoRA`, `DoRA`, `LoHa`, ... as peft's classes are called."""
    name: str
    """What it was added as."""
    is_merged: bool
    """Whether its share lies in the layer's own weight, or is added while the layer runs."""

    def __str__(self) -> str:
        return f"{self.kind} adapter '{self.name}'"

    def state(self) -> str:
        """What it is to a layer, before `on`."""
        return "is merged into the weights" if self.is_merged else "is active"


def is_adapted(layer: Any) -> bool:
    """Whether a layer is peft's around another one."""
    return hasattr(layer, "base_layer") and callable(getattr(layer, "merge", None))


def adapters(layer: Any) -> list[Adapter]:
    """What a layer computes with beside its own weight."""
    if not is_adapted(layer):
        return []
    own = {name for each in getattr(layer, "adapter_layer_names", ()) for name in getattr(layer, each, {})}
    merged = [name for name in getattr(layer, "merged_adapters", ()) if name in own]
    active = [] if merged or getattr(layer, "disable_adapters", False) else getattr(layer, "active_adapters", [])
    return [
        *(Adapter(_kind(layer, name), name, True) for name in merged),
        *(Adapter(_kind(layer, name), name, False) for name in active if name in own),
    ]


def adapted_layers(module: Any) -> Iterator[tuple[str, Adapter]]:
    """Name and adapter of every layer in a module that has one."""
    for name, layer in module.named_modules():
        for adapter in adapters(layer):
            yield name, adapter


def merged(layer: Any) -> Any:
    """The layer under its adapters, with the weights that it computes with: as peft merges them into a copy."""
    return _changed(layer, "merge") if any(not each.is_merged for each in adapters(layer)) else innermost(layer)


def plain(layer: Any) -> Any:
    """The layer under its adapters, with the weights that it has without them."""
    return _changed(layer, "unmerge") if any(each.is_merged for each in adapters(layer)) else innermost(layer)


def innermost(layer: Any) -> Any:
    """The layer that adapters are attached to."""
    while is_adapted(layer):
        layer = layer.base_layer
    return layer


def _changed(layer: Any, method: str) -> Any:
    made = copy.deepcopy(layer)
    try:
        getattr(made, method)()
    except Exception as error:
        next = "merge it into the layer, or take it off, before the model is checked"
        problem = f"peft cannot {method} it in a copy of the layer: {error}"
        raise VaeFidelityError("tensor", f"the {adapters(layer)[0]}", problem, next) from error
    return innermost(made)


def _kind(layer: Any, name: str) -> str:
    """By peft's class of such layers, `LoHaLayer`, which all of its layers derive from."""
    if getattr(layer, "use_dora", {}).get(name, False):
        return "DoRA"
    bases = [base.__name__ for base in type(layer).__mro__]
    kind = next((base.removesuffix("Layer") for base in bases if base.endswith("Layer") and len(base) > 5), "peft")
    return {"Lora": "LoRA", "Vera": "VeRA"}.get(kind, kind)
