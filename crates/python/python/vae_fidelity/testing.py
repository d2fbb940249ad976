"""Assertions for tests of an autoencoder, and the goldens for an implementation in Python.

    def test_my_vae():
        vae_fidelity.testing.assert_vae_matches(my_vae, original)

    def test_my_port():
        vae_fidelity.testing.assert_golden(MyPort.from_golden, suite="path/to/golden", only="sd-small")

pytest shows the report where one fails. Where the package is installed, the assertions are fixtures as well, which need
no import.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable
from typing import Any, Callable, Optional, Union

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._from_json import from_json
from vae_fidelity._pictures import Picture
from vae_fidelity.live import trip
from vae_fidelity.live.clips import picture_of
from vae_fidelity.live.compare import ModelComparison, compare_models
from vae_fidelity.live.layers import array, recorded_outputs
from vae_fidelity.live.model import Model, is_module
from vae_fidelity.reports import SuiteReport

Array = npt.NDArray[np.float32]

__all__ = ["GoldenModel", "assert_golden", "assert_vae_matches", "golden"]


def assert_vae_matches(
    candidate: Any,
    original: Any,
    pictures: Union[Picture, Iterable[Picture], None] = None,
    *,
    min_psnr_db: float = 40.0,
    max_difference: Optional[int] = None,
    same_bits: bool = False,
    width: Optional[int] = None,
    height: Optional[int] = None,
) -> ModelComparison:
    """Fails unless the candidate's pictures are the original's, as far as is asked.

    >>> import vae_fidelity.testing
    >>> found = vae_fidelity.testing.assert_vae_matches("builtin", "builtin", width=64, height=64)
    >>> found.same_bits
    True

    Args:
        candidate: What is judged: a torch module, a checkpoint, or an object with `encode` and `decode`.
        original: What it is held against: another one.
        pictures: As `compare_models` takes them; by default a picture of noise, lines and ramps.
        min_psnr_db: The least PSNR of the pictures; 40 dB is what 16 bits leave of a trained VAE.
        max_difference: The largest difference of an 8-bit value.
        same_bits: Latents and decoded samples have to be equal in every bit.
        width: As for `compare_models`.
        height: As for `compare_models`.

    Raises:
        AssertionError: if they differ by more; the text says by how much, and where it can, in which layers.
        VaeFidelityError: if there is nothing to compare.
    """
    taken = _chart() if pictures is None else pictures
    found = compare_models(original, candidate, taken, width=width, height=height)
    missed = []
    if same_bits and not found.same_bits:
        missed.append("not equal in every bit")
    # Written so that NaN fails.
    if not found.psnr_db >= min_psnr_db:
        missed.append(f"PSNR {found.psnr_db:.2f} dB, expected at least {min_psnr_db:g}")
    if max_difference is not None and (found.worst_difference is None or found.worst_difference > max_difference):
        missed.append(f"an 8-bit value is {found.worst_difference} off, expected at most {max_difference}")
    if missed:
        said = ["the VAE does not match: " + "; ".join(missed), str(found), *_layers(candidate, original, taken)]
        raise AssertionError("\n".join(said))
    return found


class GoldenModel:
    """A model of the goldens, for a function that builds an implementation from it."""

    class_name: str
    """diffusers' class."""
    config: dict[str, Any]
    """What its `config.json` holds."""
    tensors: dict[str, Array]
    """Its weights by diffusers' names, in f32."""

    def __init__(self, class_name: str, config: dict[str, Any], tensors: dict[str, Array]) -> None:
        self.class_name, self.config, self.tensors = class_name, config, tensors

    def state_dict(self) -> dict[str, Any]:
        """Its weights as torch's tensors."""
        import torch

        return {name: torch.from_numpy(np.array(values)) for name, values in self.tensors.items()}


def golden(
    load: Any,
    suite: Union[str, os.PathLike[str]],
    *,
    only: Union[str, Iterable[str]] = (),
    failures: Union[str, os.PathLike[str], None] = None,
    tell: Optional[Callable[[str], object]] = None,
) -> SuiteReport:
    """Judges an implementation in Python by the goldens: the command's `golden verify`.

    Each step of a case starts from the golden result of the step before it, so that an error is named where it
    arises; where layers have diffusers' names, with the first layer that diverges.

    Args:
        load: Called with each `GoldenModel`, returns the implementation: a `torch.nn.Module` of diffusers' classes or one
            derived from them; or an object with `encode(sample, noise)`, which gives moments, standard deviation (each may
            be `None`) and unscaled latents, and `decode(latents)`, on numpy's arrays. Where it has them, also with
            `dtype` (`float32`), `trace(stage, input)`, which gives names, classes and outputs of layers, and
            `forward_module(name, input)`. A class is called with the config's fields and given the weights, as diffusers'
            are.
        suite: The folder of the goldens: `golden/` of this project's sources, or one that its script wrote.
        only: Models or cases, by name; by default all.
        failures: A folder for the tensors of checks that fail.
        tell: Called with the name of each case.

    Raises:
        VaeFidelityError: if the suite is broken or nothing was run. What the implementation raises is in the report.
    """
    names = [only] if isinstance(only, str) else list(only)
    report, text = _native.run_goldens(suite, _loader(load), only=names, failures=failures, tell=tell)
    read = from_json(SuiteReport, json.loads(report))
    object.__setattr__(read, "_text", text)
    return read


def assert_golden(load: Any, suite: Union[str, os.PathLike[str]], *, only: Union[str, Iterable[str]] = ()) -> SuiteReport:
    """Fails unless the implementation reproduces the goldens; `golden` documents the arguments.

    Raises:
        AssertionError: if a check fails; the text is the report.
        VaeFidelityError: if the suite is broken or nothing was run.
    """
    report = golden(load, suite, only=only)
    if not report.passed:
        raise AssertionError(str(report._text))  # type: ignore[attr-defined]
    return report


def _loader(load: Any) -> Callable[..., Any]:
    def loaded(class_name: str, config: str, tensors: list[tuple[str, Array, list[int]]]) -> Any:
        shaped = {name: values.reshape(shape) for name, values, shape in tensors}
        model = GoldenModel(class_name, {"_class_name": class_name, **json.loads(config)}, shaped)
        if not isinstance(load, type):
            made = load(model)
        elif class_name not in {base.__name__ for base in load.__mro__}:
            raise NotImplementedError(f"a golden model of {class_name}, and this is {load.__name__}")
        else:
            made = load.from_config(model.config) if hasattr(load, "from_config") else load(**model.config)
            made.load_state_dict(model.state_dict(), strict=False)
            made.eval()
        return _OfModule(made) if is_module(made) else _OfObject(made)

    return loaded


class _OfObject:
    """An object on arrays, as the extension calls it."""

    def __init__(self, given: Any) -> None:
        for method in ("encode", "decode"):
            if not callable(getattr(given, method, None)):
                problem = f"has no {method}()"
                raise VaeFidelityError("option", type(given).__name__, problem, "see help(vae_fidelity.testing.golden)")
        self._given = given
        self.dtype = str(getattr(given, "dtype", "float32")).removeprefix("torch.")
        for method in ("trace", "forward_module"):
            if callable(getattr(given, method, None)):
                setattr(self, method, getattr(given, method))

    def encode(self, sample: Array, noise: Optional[Array]) -> tuple[Optional[Array], Optional[Array], Array]:
        moments, std, latents = self._given.encode(sample, noise)
        return _optional(moments), _optional(std), _contiguous(latents)

    def decode(self, latents: Array) -> Array:
        return _contiguous(self._given.decode(latents))


class _OfModule:
    """A torch module, as the extension calls it."""

    def __init__(self, module: Any) -> None:
        self._model = Model.of(module)
        self.dtype = str(self._model.dtype()).removeprefix("torch.")

    def encode(self, sample: Array, noise: Optional[Array]) -> tuple[Optional[Array], Optional[Array], Array]:
        with trip.untouched(self._model):
            latents, posterior = trip.encode(self._model, sample)
        if posterior is None:
            if noise is not None:
                raise NotImplementedError("there is no posterior to draw from")
            return None, None, latents
        if noise is not None:
            latents = posterior.mode + posterior.std * noise
        return posterior.moments, posterior.std, np.ascontiguousarray(latents)

    def decode(self, latents: Array) -> Array:
        with trip.untouched(self._model):
            return trip.decode(self._model, latents)[0]

    def trace(self, stage: str, given: Array) -> list[tuple[str, str, Array]]:
        run = trip.encode if stage == "encode" else trip.decode
        with trip.untouched(self._model), recorded_outputs(self._model) as outputs:
            run(self._model, given)
        return outputs

    def forward_module(self, name: str, given: Array) -> Optional[Array]:
        module = self._model.submodule(name)
        if module is None:
            return None
        with trip.untouched(self._model):
            made = module(trip.tensor(self._model, given, module), **_beside(module))
        return array(picture_of(made[0] if isinstance(made, tuple) else made))


def _beside(module: Any) -> dict[str, Any]:
    """What a module's forward() is given beside its input: `None` for what it demands, a residual block's time
    embedding; and that this is the beginning of a clip."""
    _, *others = inspect.signature(module.forward).parameters.values()
    demanded = [each.name for each in others if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD]
    beginning = {each.name: True for each in others if each.name == "first_chunk"}
    return {**dict.fromkeys(demanded), **beginning}


def _optional(values: Any) -> Optional[Array]:
    return None if values is None else _contiguous(values)


def _contiguous(values: Any) -> Array:
    return np.ascontiguousarray(array(values) if hasattr(values, "detach") else values, dtype=np.float32)


def _layers(candidate: Any, original: Any, pictures: Any) -> list[str]:
    """The layers that cost most, where both are torch modules of one graph."""
    if not (is_module(candidate) and is_module(original)):
        return []
    try:
        found = compare_models(original, candidate, pictures, width=64, height=64, layers=True)
    except VaeFidelityError:
        return []
    return ["at 64 x 64, with one layer of the candidate in the original:", *str(found).splitlines()[1:6]]


def _chart() -> npt.NDArray[np.uint8]:
    """A picture of noise, lines and ramps, (128, 128, 3)."""
    y, x = np.mgrid[0:128, 0:128]
    ramp = np.stack([x * 2, y * 2, x + y], -1)
    noise = np.random.default_rng(5).integers(0, 256, (128, 128, 3))
    lines = np.repeat(((x // 4 + y // 8) % 2 * 255)[..., None], 3, -1)
    picture = np.where((y < 43)[..., None], ramp, np.where((y < 86)[..., None], lines, noise))
    return np.ascontiguousarray(picture.clip(0, 255), dtype=np.uint8)
