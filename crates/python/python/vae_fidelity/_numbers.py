"""Numbers that callers give, refused in words before the extension sees them."""

from __future__ import annotations

import math
import operator
from typing import Any, Optional

from vae_fidelity._errors import VaeFidelityError


def check_counts(**counts: Optional[int]) -> None:
    """Each is a whole number from 1 on, or left out."""
    for name, count in counts.items():
        if count is not None and not 1 <= _whole(count) < 2**63:
            raise VaeFidelityError(
                "option", f"`{name}` {count!r}", "expected a whole number, at least 1", "give one, or leave it out"
            )


def check_places(**places: int) -> None:
    """Each is a whole number from 0 on."""
    for name, place in places.items():
        if not 0 <= _whole(place, -1) < 2**63:
            raise VaeFidelityError("option", f"`{name}` {place!r}", "expected a place, from 0 on", "count from 0")


def check_least(**least: Optional[float]) -> None:
    """Each is a finite number, or left out."""
    for name, number in least.items():
        finite = number is None or (_is_finite(number))
        if not finite or (number is not None and name != "min_psnr" and number > 1):
            expected = "a finite number" if name == "min_psnr" else "a number of at most 1"
            raise VaeFidelityError("option", f"`{name}` {number!r}", f"expected {expected}", "give one, or leave it out")


def check_seed(sample: bool, seed: Optional[int]) -> None:
    """One that torch takes, for a draw."""
    if seed is None:
        return
    if not -(2**63) <= _whole(seed, -(2**64)) < 2**64:
        raise VaeFidelityError(
            "option", f"`seed` {seed!r}", "expected a whole number from -2^63 to 2^64 - 1, as torch takes", "choose one"
        )
    if not sample:
        problem = "has no effect: latents are drawn with `sample`, else they are the posterior's mode"
        raise VaeFidelityError("option", f"`seed` {seed}", problem, "give sample=True as well, or leave it out")


def _whole(number: Any, otherwise: int = 0) -> int:
    """`number`, of Python or numpy; `otherwise` where it is none that is whole."""
    try:
        return operator.index(number)
    except TypeError:
        return otherwise


def _is_finite(number: Any) -> bool:
    try:
        return math.isfinite(number)
    except (TypeError, OverflowError):
        return False
