"""Pictures as samples, decoded samples as 8-bit pictures, and how far two lie apart."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._pictures import Picture, given

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def psnr_of(a: Optional[Pixels], b: Optional[Pixels]) -> tuple[Optional[float], Optional[int]]:
    """PSNR in dB and largest difference of two pictures' colours; `None` where one is not there or of another size."""
    if a is None or b is None or a.shape[:2] != b.shape[:2]:
        return None, None
    off = a[..., :3].astype(np.int64) - b[..., :3]
    square = float(np.mean(off.astype(np.float64) ** 2))
    return (math.inf if square == 0 else 10 * math.log10(255**2 / square)), int(np.abs(off).max())


def taken_sample(picture: Picture, seen: Pixels) -> Array:
    """What the encoder is given, (1, 3, height, width) in [-1, 1], or (1, 4, height, width) in RGBA: the picture itself where it
    is that, else `seen`, the pixels that were made of it."""
    values, _, _ = given(picture)
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return np.asarray(values, np.float32)
    unit: Array = np.ascontiguousarray(seen.transpose(2, 0, 1)[None]).astype(np.float32) / np.float32(255)
    return np.float32(2) * unit - np.float32(1)


def sample_of(
    picture: Picture,
    width: Optional[int],
    height: Optional[int],
    *,
    exif: str = "ignore",
    multiple_of: int = 8,
    has_alpha: bool = False,
) -> tuple[str, Array]:
    """A picture's name, and what the encoder is given of it at this size, or at its own taken down to multiples; of one
    that takes RGBA with alpha."""
    values, name, _ = given(picture, exif)
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return name, np.asarray(values, np.float32)

    def seen(width: Optional[int], height: Optional[int]) -> Pixels:
        return _native.preprocess(values, name=name, exif=exif, width=width, height=height, alpha=has_alpha)

    pixels = seen(width, height)
    sides = [max(side // multiple_of, 1) * multiple_of for side in pixels.shape[:2]]
    if tuple(sides) != pixels.shape[:2]:
        if width is not None:
            problem = f"expected multiples of {multiple_of} for this model, found {width} x {height}"
            raise VaeFidelityError("option", "`width` and `height`", problem, f"give {sides[1]} x {sides[0]}")
        pixels = seen(sides[1], sides[0])
    return name, taken_sample(pixels, pixels)
