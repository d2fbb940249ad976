"""Which layers of a faster model cost most, and which to keep as the original has them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity.live import trip
from vae_fidelity.live.clips import kept
from vae_fidelity.live.layers import Graph
from vae_fidelity.live.model import Model

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LayerCost:
    """What a faster model loses by one of its layers."""

    name: str
    """diffusers' name: a residual block, an attention, a resampling, or a layer that lies in none."""
    class_name: str
    """Its class."""
    psnr_db: float
    """PSNR of the original's pictures and of those that it makes with this one layer of the other; infinity where
    they are equal."""


def units(model: Model) -> dict[str, str]:
    """Names and classes of what is exchanged between two models: the smallest blocks, and layers in none."""
    graph = Graph(dict(_native.modules(model.config_json())))
    blocks = [name for name in graph.classes if graph.part(name) == "block"]
    inside = {name for block in blocks for name in graph.inside(block)}
    alone = {name for name in graph.classes if graph.part(name) == "leaf"} - inside
    return {name: class_name for name, class_name in graph.classes.items() if name in alone.union(blocks)}


def costs(original: Model, other: Model, samples: list[Array], tell: Callable[[str], object]) -> list[LayerCost]:
    """What each unit of `other` costs in the original, the dearest first."""
    expected = _pictures(original, samples)
    found = []
    for name, class_name in units(original).items():
        tell(f"what {name} costs")
        with exchanged(original, other, [name]):
            found.append(LayerCost(name, class_name, psnr_db(expected, _pictures(original, samples))))
    return sorted(found, key=lambda cost: cost.psnr_db)


def keep(
    original: Model,
    other: Model,
    samples: list[Array],
    wanted_psnr_db: float,
    dearest: Iterable[str],
    tell: Callable[[str], object],
) -> tuple[list[str], float]:
    """The units that `other` has to have as the original has them, so that its pictures reach `wanted_psnr_db`, and
    what they then reach: taken from the dearest on, and given back from the cheapest on where the rest will do.

    Raises:
        VaeFidelityError: if all of them are not enough.
    """
    expected = _pictures(original, samples)

    def reached(names: list[str]) -> float:
        tell(f"keeping {len(names)} layers")
        with exchanged(other, original, names):
            return psnr_db(expected, _pictures(other, samples))

    kept: list[str] = []
    psnr = reached(kept)
    for name in dearest:
        if psnr >= wanted_psnr_db:
            break
        kept.append(name)
        psnr = reached(kept)
    if psnr < wanted_psnr_db:
        problem = f"is not reached: with every layer of the original it is {psnr:.1f} dB"
        next = "ask for less; what is left comes from between the layers, or from the dtype of what they hand on"
        raise VaeFidelityError("option", f"`wanted_psnr_db` {wanted_psnr_db:g}", problem, next)
    for name in reversed(kept.copy()):
        fewer = [each for each in kept if each != name]
        if (without := reached(fewer)) >= wanted_psnr_db:
            kept, psnr = fewer, without
    return kept, psnr


@contextlib.contextmanager
def exchanged(host: Model, donor: Model, names: list[str]) -> Iterator[None]:
    """Lets `host` run with the `donor`'s modules of these names, each in its own dtype and on its own device."""
    handles = []
    try:
        for name in names:
            mine, theirs = host.submodule(name), donor.submodule(name)
            if mine is None or theirs is None:
                raise VaeFidelityError("option", name, "is not in both models", "compare models of one class and config")
            instead = _Instead(theirs, donor)
            handles.append(mine.register_forward_pre_hook(instead.entered, with_kwargs=True))
            handles.append(mine.register_forward_hook(instead.left, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Instead:
    """Another module, run on what one is given and for what it puts out."""

    def __init__(self, theirs: Any, donor: Model) -> None:
        self.theirs, self.donor = theirs, donor
        self.given: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def entered(self, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self.given.append(kept(arguments, keywords))

    def left(self, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> Any:
        arguments, keywords = self.given.pop()
        made = self.theirs(*map(self._moved, arguments), **{name: self._moved(value) for name, value in keywords.items()})
        return made.to(output.device, output.dtype)

    def _moved(self, value: Any) -> Any:
        return value.to(self.donor.device(), self.donor.dtype()) if hasattr(value, "is_floating_point") else value


def psnr_db(expected: list[Array], found: list[Array]) -> float:
    """Of decoded samples as pictures that are not rounded to 8 bits, all together; NaN is 0 dB."""
    squares = [float(np.mean((_unit(a) - _unit(b)) ** 2)) for a, b in zip(expected, found)]
    square = float(np.mean(squares))
    if not math.isfinite(square):
        return 0.0
    return math.inf if square == 0 else -10 * math.log10(square)


def _unit(sample: Array) -> npt.NDArray[np.float64]:
    return np.clip(sample.astype(np.float64) / 2 + 0.5, 0, 1)


def _pictures(model: Model, samples: list[Array]) -> list[Array]:
    with trip.untouched(model):
        return [trip.decode(model, trip.encode(model, sample)[0])[0] for sample in samples]


def both(original: Optional[Model], other: Optional[Model]) -> tuple[Model, Model]:
    """Two modules of one class and graph.

    Raises:
        VaeFidelityError: if they are not.
    """
    next = "give two models of diffusers in memory, of one class and config"
    if original is None or other is None:
        raise VaeFidelityError("option", "`layers`", "are exchanged between two torch modules", next)
    if units(original) != units(other):
        problem = f"are exchanged between models of one graph, found {original.name} and {other.name}"
        raise VaeFidelityError("option", "`layers`", problem, next)
    return original, other
