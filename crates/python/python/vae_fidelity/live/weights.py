"""Weights in memory beside those of a checkpoint, or of another model."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import Any, Callable, Optional, Union

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity.live.adapters import Adapter
from vae_fidelity.live.layers import array
from vae_fidelity.live.model import Model, is_module
from vae_fidelity.live.rounding import last_place

Array = npt.NDArray[np.float32]

Against = Union[str, "os.PathLike[str]", Any]

# Above this share of tensors it is another state of training, or another model.
MOST_ARE_OTHERS = 0.9


@dataclass(frozen=True)
class TensorChange:
    """A tensor that is not the checkpoint's."""

    name: str
    """diffusers' name."""
    relative_difference: float
    """RMS of the difference over RMS of the checkpoint's values."""
    change: Optional[str]
    """What it is, where that is simple: a factor, fewer bits, a low rank, another tensor's values."""
    adapters: tuple[Adapter, ...] = ()
    """The adapters without which it would be the checkpoint's; none where that would not make it so."""


@dataclass(frozen=True)
class WeightsComparison:
    """Weights in memory beside a checkpoint's."""

    against: str
    """What they were compared with."""
    why: str
    """Why that: it was asked for, or the model says that it came from there."""
    compared: int
    """How many tensors both have."""
    changed: list[TensorChange]
    """Those that are not bit for bit the checkpoint's, cast to the dtype that they have in memory."""
    config: dict[str, tuple[Any, Any]]
    """Fields of the config that differ: in memory, and in the checkpoint."""

    def is_quantised(self) -> bool:
        """Whether all that is changed is held in 8 bits or fewer, which somebody chose."""
        return bool(self.changed) and all((each.change or "").startswith("held in ") for each in self.changed)

    def adapted(self) -> list[TensorChange]:
        """What adapters alone change."""
        return [each for each in self.changed if each.adapters]

    def others(self) -> list[TensorChange]:
        """What is changed without adapters."""
        return [each for each in self.changed if not each.adapters]

    def is_of_fewer_bits(self) -> bool:
        """Whether all that was looked into is the checkpoint's in 16 bits, as another variant of it is."""
        casts = ("cast through float16", "cast through bfloat16")
        looked_into = self.others()[:_EXPLAINED]
        return bool(looked_into) and all(each.change in casts for each in looked_into)


# Of so many changed tensors it is looked into what the change is, which takes a decomposition each.
_EXPLAINED = 8

# A weight that is computed, as weight_norm computes it, is so far off at the most.
_ROUNDED = 1e-6

# Fields of the config that change nothing that is computed.
_IDLE = {"sample_size", "force_upcast", "down_block_types", "up_block_types"}


class Checkpoint:
    """Where the weights to compare with are read from."""

    def __init__(self, against: Against, asked: bool) -> None:
        self.name, self.why = "", "it was asked for" if asked else "the model's config says that it came from there"
        if isinstance(against, (str, os.PathLike)):
            self.name = os.fspath(against)
            opened = _native.Checkpoint(self.name, offline=not asked)
            self._names = {name for name, _, _ in opened.tensors()}
            self._array: Callable[[str], Array] = opened.array
            config = opened.config()
            self.config = None if config is None else json.loads(config)
        elif is_module(against):
            other = Model.of(against)
            self.name = f"{other.name} in memory"
            tensors = dict(other.tensors())
            self._names, self._array, self.config = set(tensors), lambda name: array(tensors[name]), other.config
        else:
            found = f"{type(against).__module__}.{type(against).__qualname__}"
            next = "give a folder, a file, a hub's id, or another model"
            raise VaeFidelityError("option", "`against`", f"expected a checkpoint or a model, found {found}", next)

    def compared(self, model: Model) -> WeightsComparison:
        """The weights of `model` beside these."""
        torch = sys.modules["torch"]
        changed: list[TensorChange] = []
        compared = 0
        for name, values in model.tensors():
            if name not in self._names:
                continue
            compared += 1
            stored = torch.from_numpy(np.array(self._array(name)))
            found = values.detach().cpu()
            if stored.shape != found.shape:
                changed.append(TensorChange(name, float("inf"), f"{tuple(found.shape)} in place of {tuple(stored.shape)}"))
            elif held := model.held_in(name):
                changed.append(TensorChange(name, _relative(stored, found.float()), f"held in {held}"))
            elif not _same(stored.to(found.dtype), found) and _relative(stored, found.float()) > _ROUNDED:
                adapters = self._adapters(model, name, stored)
                others = sum(not each.adapters for each in changed)
                change = self._change(name, stored, found) if not adapters and others < _EXPLAINED else None
                changed.append(TensorChange(name, _relative(stored, found.float()), change, adapters))
        return WeightsComparison(self.name, self.why, compared, changed, self._fields(model))

    def _adapters(self, model: Model, name: str, stored: Any) -> tuple[Adapter, ...]:
        attached = model.adapters(name)
        if not attached:
            return ()
        without = model.without_adapters(name).cpu()
        # What was merged and is taken out again was rounded twice, at its own size.
        rounded = max(1e-5, 8 * last_place(str(without.dtype).removeprefix("torch.")))
        room = rounded if attached[0].is_merged else _ROUNDED
        return tuple(attached) if _relative(stored.to(without.dtype).float(), without.float()) <= room else ()

    def _change(self, name: str, stored: Any, found: Any) -> Optional[str]:
        torch = sys.modules["torch"]
        if not bool(torch.isfinite(found).all()):
            return "has NaN or infinity"
        for dtype in (torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2):
            if _same(stored.to(dtype).to(found.dtype), found):
                return f"cast through {str(dtype).removeprefix('torch.')}"
        found = found.float()
        if not bool(found.any()):
            return "is 0"
        factor = float((stored * found).sum() / (stored * stored).sum().clamp_min(1e-30))
        if _relative(stored * factor, found) < 1e-3:
            return f"multiplied by {factor:.4g}"
        for other in self._alike(name):
            if _same(torch.from_numpy(np.array(self._array(other))).to(found.dtype), found):
                return f"holds the values of {other}"
        for how, changed in _TURNED.items():
            if found.dim() in ((4, 5) if "kernel" in how else (2, 4, 5)) and _same(changed(stored).to(found.dtype), found):
                return how
        return _rank(found - stored)

    def _alike(self, name: str) -> list[str]:
        """Tensors of the same layer's siblings: query, key and value, or the next block."""
        parts = name.split(".")
        candidates = []
        for other in sorted(self._names - {name}):
            split = other.split(".")
            if len(split) == len(parts) and sum(a != b for a, b in zip(split, parts)) == 1 and split[-1] == parts[-1]:
                candidates.append(other)
        return candidates

    def _fields(self, model: Model) -> dict[str, tuple[Any, Any]]:
        if self.config is None:
            return {}
        plain = json.loads(model.config_json())
        both = [field for field in plain if field in self.config and field not in _IDLE]
        return {field: (plain[field], self.config[field]) for field in both if plain[field] != self.config[field]}


# What ports do to matrices and kernels.
_TURNED: dict[str, Callable[[Any], Any]] = {
    "is transposed": lambda weight: weight.transpose(0, 1),
    "its kernel is transposed": lambda weight: weight.transpose(-2, -1),
    "its kernel is mirrored": lambda weight: weight.flip(-1),
    "its kernel is upside down": lambda weight: weight.flip(-2),
    "its kernel is turned by 180 degrees": lambda weight: weight.flip(-2, -1),
    "its kernel is turned in time": lambda weight: weight.flip(-3) if weight.dim() == 5 else weight,
}


def checkpoint(model: Model, against: Optional[Against]) -> Union[Checkpoint, str]:
    """What the weights are compared with: `against`, or what the model says that it came from, if that is at hand
    without the network; else why there is nothing."""
    if against is not None:
        return Checkpoint(against, asked=True)
    origin = getattr(model.module.config, "_name_or_path", None) or getattr(model.module, "name_or_path", None)
    if not origin:
        return "the model does not say where its weights came from"
    try:
        return Checkpoint(origin, asked=False)
    except VaeFidelityError as error:
        return f"{origin}, where the model says that it came from: {error.problem}"


def _same(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool((a == b).logical_or(a.isnan() & b.isnan()).all())


def _relative(stored: Any, found: Any) -> float:
    rms = float(stored.double().pow(2).mean().sqrt())
    off = float((found.double() - stored.double()).pow(2).mean().sqrt())
    return off / rms if rms else float("inf")


def _rank(change: Any) -> Optional[str]:
    """A change of low rank, as a fused LoRA makes it."""
    torch = sys.modules["torch"]
    matrix = change.reshape(change.shape[0], -1)
    if change.dim() not in (2, 4, 5) or min(matrix.shape) < 8:
        return None
    values = torch.linalg.svdvals(matrix)
    rank = int((values > 1e-3 * values[0]).sum())
    return f"changed by a matrix of rank {rank}, as a fused LoRA does" if rank <= min(matrix.shape) // 4 else None
