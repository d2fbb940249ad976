"""Whatever encodes and decodes, on arrays: a module, a checkpoint on this package's engine, an object of one's own."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Optional, Protocol

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._pipeline import Pipeline
from vae_fidelity.live import trip
from vae_fidelity.live.clips import picture_of
from vae_fidelity.live.layers import array
from vae_fidelity.live.model import Model, is_module

Array = npt.NDArray[np.float32]


class Implementation(Protocol):
    """One of two that are compared."""

    name: str
    """What it is called in reports."""
    precision: str
    """How it rounds, by torch's name of a dtype."""
    multiple_of: int
    """What the sides of its pictures have to be multiples of."""
    has_alpha: bool
    """Whether these are RGBA."""

    def encode(self, sample: Array) -> Array:
        """A sample (N, 3, H, W) in [-1, 1], 4 channels in RGBA, to unscaled latents (N, C, h, w): the mode."""
        ...

    def decode(self, latents: Array) -> Array:
        """Unscaled latents (N, C, h, w) to a sample (N, 3, H, W), not clamped."""
        ...


class OfModule:
    """A torch module of a class that is run here."""

    def __init__(self, module: Any) -> None:
        self.model = Model.of(module)
        self.name, self.precision = self.model.name, self.model.precision()
        config = self.model.config_json()
        self.multiple_of, self.has_alpha = _native.multiple_of(config), _native.has_alpha(config)

    def encode(self, sample: Array) -> Array:
        with trip.untouched(self.model):
            return trip.encode(self.model, sample)[0]

    def decode(self, latents: Array) -> Array:
        with trip.untouched(self.model):
            return trip.decode(self.model, latents)[0]


class OfPipeline:
    """A checkpoint on this package's engine."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._reference = _native.Reference(pipeline._native)
        model = pipeline.model
        self.name, dtype = repr(pipeline), model.dtype
        self.multiple_of, self.has_alpha = self._reference.multiple_of(), self._reference.has_alpha()
        self.precision = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[dtype]

    def encode(self, sample: Array) -> Array:
        return self._reference.encode(sample)[2]

    def decode(self, latents: Array) -> Array:
        return self._reference.decode(latents)


class OfObject:
    """An object with `encode` and `decode`, on torch's tensors where torch is loaded, else on numpy's arrays."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self.name, self.precision = type(given).__name__, "float32"
        # As the other one has it.
        self.multiple_of, self.has_alpha = 8, False

    def encode(self, sample: Array) -> Array:
        output = self._called(self._given.encode, sample)
        if hasattr(output, "latent_dist"):
            return _values(output.latent_dist.mode())
        return _values(trip.without_posterior(output))

    def decode(self, latents: Array) -> Array:
        output = self._called(self._given.decode, latents)
        return _values(getattr(output, "sample", output))

    def _called(self, method: Callable[[Any], Any], values: Array) -> Any:
        torch = sys.modules.get("torch")
        if torch is None:
            return method(values)
        with torch.no_grad():
            return method(torch.from_numpy(np.array(values)))


def _values(output: Any) -> Array:
    if isinstance(output, tuple):
        output = output[0]
    values = array(picture_of(output)) if hasattr(output, "detach") else np.asarray(output, np.float32)
    return np.ascontiguousarray(values)


def implementation(given: Any) -> Implementation:
    """`given` as one of two that are compared.

    Raises:
        VaeFidelityError: if it neither names a checkpoint nor encodes and decodes.
    """
    if is_module(given) and is_of_class(given):
        return OfModule(given)
    if isinstance(given, (str, os.PathLike)):
        return OfPipeline(Pipeline(given))
    if isinstance(given, Pipeline):
        return OfPipeline(given)
    if has_both(given):
        return OfObject(given)
    found = f"{type(given).__module__}.{type(given).__qualname__}"
    problem = f"expected a model, a checkpoint, or an object with encode() and decode(), found {found}"
    raise VaeFidelityError("option", "a model", problem, "give one of these")


def module_of(given: Implementation) -> Optional[Model]:
    """The module behind an implementation, where it is one."""
    return given.model if isinstance(given, OfModule) else None


def has_both(given: Any) -> bool:
    """Whether it encodes and decodes."""
    return callable(getattr(given, "encode", None)) and callable(getattr(given, "decode", None))


def is_of_class(module: Any) -> bool:
    """Whether it is a torch module of a class that is run here."""
    try:
        Model.of(module)
    except VaeFidelityError:
        return False
    return True
