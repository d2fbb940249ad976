"""Pictures as samples, decoded samples as 8-bit pictures, and how far two lie apart."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._pictures import Picture, given

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def psnr_of(a: Optional[Pixels], b: Optional[Pixels]) -> tuple[Optional[float], Optional[int]]:
    """PSNR in dB and largest difference of two pictures; `None` where one is not there or of another size."""
    if a is None or b is None or a.shape != b.shape:
        return None, None
    off = a.astype(np.int64) - b
    square = float(np.mean(off.astype(np.float64) ** 2))
    return (math.inf if square == 0 else 10 * math.log10(255**2 / square)), int(np.abs(off).max())


def pixels_of(sample: Optional[Array]) -> Optional[Pixels]:
    """A decoded sample as 8-bit pixels, (height, width, 3); `None` where it is not finite, or no picture."""
    if sample is None or sample.ndim != 4 or sample.shape[:2] != (1, 3) or not np.isfinite(sample).all():
        return None
    unit = np.clip(sample / 2 + 0.5, 0, 1)[0].transpose(1, 2, 0)
    pixels: Pixels = np.rint(unit * 255).astype(np.uint8)
    return pixels


def taken_sample(picture: Picture, seen: Pixels) -> Array:
    """What the encoder is given, (1, 3, height, width) in [-1, 1]: the picture itself where it is that, else `seen`, the
    pixels that were made of it."""
    values, _, _ = given(picture)
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return np.asarray(values, np.float32)
    unit: Array = np.ascontiguousarray(seen.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255)
    return np.float32(2) * unit - np.float32(1)


def sample_of(picture: Picture, width: Optional[int], height: Optional[int]) -> tuple[str, Array]:
    """A picture's name, and what the encoder is given of it at this size."""
    values, name, _ = given(picture)
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return name, np.asarray(values, np.float32)
    seen = _native.preprocess(values, name=name, exif="ignore", width=width, height=height)
    return name, taken_sample(picture, seen)
