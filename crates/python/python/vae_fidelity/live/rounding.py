"""How far two runs of the same layer may lie apart by rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Distance:
    """How far an output lies from the reference's."""

    relative_rms: float
    """RMS of the difference over RMS of the reference's output."""
    worst: float
    """Largest difference of a value, over its own size plus the RMS of the output."""
    gain: float
    """How far the line through both is from slope 1: rounding has none, however large it is."""

    def within(self, room: Distance) -> bool:
        """Whether all lie in `room`. NaN lies in none."""
        return self.relative_rms <= room.relative_rms and self.worst <= room.worst and self.gain <= room.gain

    def beyond(self, room: Distance) -> str:
        """What of it does not lie in `room`, after `it is`."""
        if self.relative_rms <= room.relative_rms and self.worst <= room.worst:
            return f"{self.gain:.2g} too large or too small as a whole (rounding: {room.gain:.2g})"
        if self.relative_rms <= room.relative_rms:
            return f"{self.worst:.2g} off in its worst value (rounding: {room.worst:.2g})"
        return f"{self.relative_rms:.2g} off (rounding: {room.relative_rms:.2g})"


def distance(reference: Array, found: Array) -> Distance:
    """How far `found` lies from `reference`, of the same shape; over values that are finite in the reference."""
    finite = np.isfinite(reference)
    of_reference = reference[finite].astype(np.float64)
    off = found[finite].astype(np.float64) - of_reference
    if off.size == 0:
        return Distance(0.0, 0.0, 0.0)
    rms = float(np.sqrt(np.mean(of_reference**2)))
    size = np.abs(of_reference) + rms
    # Where the reference is 0 everywhere, nothing but 0 is close.
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(off == 0, 0.0, np.abs(off) / size)
    off_rms = float(np.sqrt(np.mean(off**2)))
    if off_rms == 0 or rms == 0:
        return Distance(0.0 if off_rms == 0 else float("inf"), float(relative.max()), 0.0)
    gain = abs(float(np.mean(off * of_reference))) / rms**2
    return Distance(off_rms / rms, float(relative.max()), gain)


# Quantised layers that round what they are given, too.
EIGHT_BITS = "8 bits"

# Bits behind the first of a value, by what computes.
_BITS = {"float64": 23, "float32": 23, "tf32": 10, "float16": 10, "bfloat16": 7, EIGHT_BITS: 6}

# The largest distances in units of the last place (relative_rms, worst, gain) of sound runs of every class's models on
# the CPU, by how much of the model lies between input and output: one operation; a norm of Wan's, which rounds after each
# of three; a block of a few; blocks together; an encoder or a decoder, trained. In 32 bits it is this package's own fast
# convolutions that round most.
_MEASURED = {
    "32 bits": {
        "leaf": Distance(42, 700, 4),
        "norm": Distance(3.7, 6.5, 1.9),
        "block": Distance(44, 700, 4),
        "blocks": Distance(59, 700, 6),
        "whole": Distance(38, 700, 6),
    },
    "16 bits": {
        "leaf": Distance(0.7, 1.7, 0.3),
        # Of pictures of 16 x 16 pixels 1.06 and a gain of 0.55, which the margin covers.
        "norm": Distance(0.85, 2.1, 0.22),
        "block": Distance(1.7, 9, 0.25),
        "blocks": Distance(2.6, 19, 0.5),
        # Of pictures of 16 x 16 pixels 1.05 and a gain of 0.45, which the margin covers; amplification is by this row.
        "whole": Distance(1, 6, 0.35),
    },
    # Linear layers by torch.ao and torchao, which round what they are given by its largest value; what such layers lie in
    # rounds no more.
    EIGHT_BITS: dict.fromkeys(("leaf", "norm", "block", "blocks", "whole"), Distance(5, 20, 0.25)),
}

# Room for kernels that were not measured, such as a GPU's.
_MARGIN = 4


def last_place(precision: str) -> float:
    """Half a unit of the last place of 1."""
    return 2.0 ** -(_BITS.get(precision, 7) + 1)


def allowed(precision: str, part: str, amplified: float = 1) -> Distance:
    """What rounding explains in `precision`, of a `leaf`, a `norm`, a `block`, `blocks` or a `whole` encoder or decoder,
    which may amplify what its layers round."""
    bits = _BITS.get(precision, 7)
    room = _MEASURED["32 bits" if bits == 23 else EIGHT_BITS if bits < 7 else "16 bits"][part]
    scale = _MARGIN * last_place(precision) * amplified
    return Distance(room.relative_rms * scale, room.worst * scale, room.gain * scale)


def amplification(expected: Array, in_bfloat16: Array) -> float:
    """How much more a whole model makes of rounding than a trained one does, from its output in two precisions."""
    off, usual = distance(expected, in_bfloat16), allowed("bfloat16", "whole")
    times = _MARGIN * max(off.relative_rms / usual.relative_rms, off.worst / usual.worst, off.gain / usual.gain)
    return max(1.0, times) if np.isfinite(times) else 1.0


def coarser(a: str, b: str) -> str:
    """Whichever of two precisions has fewer bits."""
    return min(a, b, key=lambda name: _BITS.get(name, 7))
