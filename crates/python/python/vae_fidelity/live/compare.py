"""Two models on the same pictures: a gate for a faster, quantised or ported VAE."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._from_json import from_json
from vae_fidelity._pictures import Picture, pixels_of
from vae_fidelity._progress import Progress, Shown
from vae_fidelity.live.costs import LayerCost, both, costs, keep, psnr_db
from vae_fidelity.live.implementation import implementation, module_of
from vae_fidelity.live.pictures import sample_of
from vae_fidelity.live.report import plain
from vae_fidelity.live.rounding import Distance, distance
from vae_fidelity.reports import PixelMetrics

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ComparedPicture:
    """One picture through both models."""

    name: str
    """The picture."""
    same_bits: bool
    """Whether latents and decoded samples are equal in every bit."""
    latents: Distance
    """How far the candidate's latents lie from the original's."""
    decoded: Distance
    """The same of the decoded samples, each from its model's own latents."""
    metrics: Optional[PixelMetrics]
    """The candidate's picture in 8 bits beside the original's; `None` where one is not finite."""
    lpips: Optional[float]
    """What the function gave that was handed over as `lpips`."""


@dataclass(frozen=True)
class ModelComparison:
    """What `compare_models` says."""

    original: str
    """The model that is held to be right."""
    candidate: str
    """The model that is judged."""
    same_bits: bool
    """Whether both are equal in every bit, for all pictures."""
    worst_difference: Optional[int]
    """Largest difference of an 8-bit value; `None` where a picture is not finite."""
    psnr_db: float
    """PSNR of all pictures together, before they are rounded to 8 bits; infinity where they are equal."""
    ssim: Optional[float]
    """Least SSIM of the pictures; `None` where none has one."""
    pictures: list[ComparedPicture]
    """Each picture."""
    layers: Optional[list[LayerCost]]
    """What each layer of the candidate costs, the dearest first; `None` where that was not asked."""
    keep: Optional[list[str]] = field(default=None)
    """Layers to keep as the original has them for the wanted quality; `None` where none was asked for."""
    kept_psnr_db: Optional[float] = field(default=None)
    """What the candidate reaches with these."""

    def to_json(self) -> str:
        """The comparison as JSON; NaN and infinity as strings."""
        return json.dumps(plain(self))

    def __str__(self) -> str:
        quality = "equal in every bit" if self.same_bits else f"PSNR {self.psnr_db:.2f} dB, worst {self.worst_difference} of 255"
        lines = [f"{self.candidate} beside {self.original}: {quality}"]
        if self.ssim is not None and not self.same_bits:
            lines[0] += f", SSIM {self.ssim:.5f}"
        for cost in (self.layers or [])[:10]:
            lines.append(f"  {cost.psnr_db:7.2f} dB with {cost.name} ({cost.class_name}) of the candidate alone")
        if self.keep is not None:
            lines.append(f"{self.kept_psnr_db:.2f} dB where the original's are kept: {', '.join(self.keep) or 'none'}")
        return "\n".join(lines)


def compare_models(
    original: Any,
    candidate: Any,
    pictures: Union[Picture, Iterable[Picture]],
    *,
    width: Optional[int] = None,
    height: Optional[int] = None,
    layers: bool = False,
    wanted_psnr_db: Optional[float] = None,
    lpips: Optional[Callable[..., Any]] = None,
    progress: Progress = False,
) -> ModelComparison:
    """How far a faster, quantised or ported VAE lies from its original, on pictures.

    >>> import vae_fidelity
    >>> found = vae_fidelity.compare_models("builtin", vae_fidelity.Pipeline("builtin", dtype="f16"),
    ...                                     "golden/images/astronaut.png", width=64, height=64)
    >>> found.same_bits, found.worst_difference <= 3, found.psnr_db > 50
    (False, True, True)

    Args:
        original: A `torch.nn.Module` of diffusers' classes, a checkpoint (a path or a `Pipeline`), or an object with
            `encode(sample)`, which gives latents that are not scaled, and `decode(latents)`.
        candidate: Another one of these.
        pictures: One or several, as `check` takes them.
        width: Columns, a multiple of 8, or of 16 for FLUX.2 and Wan 2.2; by default each picture's, taken down to one.
        height: Rows, likewise.
        layers: Also find what each layer of the candidate costs: both are torch modules of one class and config, and
            the original runs once for each layer.
        wanted_psnr_db: Also find which layers to keep as the original has them so that the candidate's pictures reach
            this; takes `layers` with it.
        lpips: A perceptual distance to be called with two torch tensors (1, 3, height, width) in [-1, 1], such as
            `lpips.LPIPS()`.
        progress: Called with the name of each step as it begins; `True` shows them with tqdm.

    Raises:
        VaeFidelityError: if there is nothing to compare.
    """
    first, second = implementation(original), implementation(candidate)
    multiple_of = math.lcm(first.multiple_of, second.multiple_of)
    has_alpha = first.has_alpha or second.has_alpha
    samples = [sample_of(picture, width, height, multiple_of=multiple_of, has_alpha=has_alpha) for picture in _several(pictures)]
    if not samples:
        raise VaeFidelityError("option", "`pictures`", "are none", "give at least one")
    with Shown(progress) as shown:
        tell: Callable[[str], object] = shown or (lambda step: None)
        compared, decoded = [], []
        for name, sample in samples:
            tell(f"encoding and decoding {name}")
            latents = (first.encode(sample), second.encode(sample))
            made = (first.decode(latents[0]), second.decode(latents[1]))
            if latents[0].shape != latents[1].shape or made[0].shape != made[1].shape:
                problem = f"gives {latents[1].shape} and {made[1].shape}, {first.name} {latents[0].shape} and {made[0].shape}"
                raise VaeFidelityError("tensor", second.name, problem, "compare models of one kind")
            compared.append(_compared(name, latents, made, lpips))
            decoded.append(made)
        found = ModelComparison(
            original=first.name,
            candidate=second.name,
            same_bits=all(each.same_bits for each in compared),
            worst_difference=_most([None if each.metrics is None else each.metrics.max_abs_diff for each in compared]),
            psnr_db=psnr_db([each for each, _ in decoded], [each for _, each in decoded]),
            ssim=_least([None if each.metrics is None else each.metrics.ssim for each in compared]),
            pictures=compared,
            layers=None,
        )
        if not layers and wanted_psnr_db is None:
            return found
        models = both(module_of(first), module_of(second))
        tensors = [sample for _, sample in samples]
        dearest = costs(*models, tensors, tell)
        found = dataclasses.replace(found, layers=dearest)
        if wanted_psnr_db is None:
            return found
        names, reached = keep(*models, tensors, wanted_psnr_db, [cost.name for cost in dearest], tell)
        return dataclasses.replace(found, keep=names, kept_psnr_db=reached)


def _several(pictures: Union[Picture, Iterable[Picture]]) -> list[Picture]:
    return list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]  # type: ignore[list-item]


def _compared(
    name: str, latents: tuple[Array, Array], made: tuple[Array, Array], lpips: Optional[Callable[..., Any]]
) -> ComparedPicture:
    pixels = [pixels_of(each) for each in made]
    metrics = None
    if pixels[0] is not None and pixels[1] is not None:
        metrics = from_json(PixelMetrics, json.loads(_native.metrics(pixels[1], pixels[0])))
    same = np.array_equal(*latents, equal_nan=True) and np.array_equal(*made, equal_nan=True)
    perceptual = None
    if lpips is not None:
        torch = importlib.import_module("torch")
        with torch.no_grad():
            perceptual = float(lpips(*(torch.from_numpy(np.clip(each[:, :3], -1, 1)) for each in made)))
    return ComparedPicture(name, same, distance(*latents), distance(*made), metrics, perceptual)


def _most(values: list[Optional[int]]) -> Optional[int]:
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _least(values: list[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return min(known, default=None)
