"""Decoded samples as 8-bit pictures, and how far two lie apart."""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
import numpy.typing as npt

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
    """A decoded sample as 8-bit pixels, (height, width, 3); `None` where it is not finite."""
    if sample is None or not np.isfinite(sample).all():
        return None
    unit = np.clip(sample / 2 + 0.5, 0, 1)[0].transpose(1, 2, 0)
    pixels: Pixels = np.rint(unit * 255).astype(np.uint8)
    return pixels
