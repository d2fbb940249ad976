"""A model that takes a batch apart, held against itself with one picture at a time."""

from __future__ import annotations

from typing import Callable

import numpy as np
import numpy.typing as npt

from vae_fidelity.live import suspects
from vae_fidelity.live.findings import ModelFailed, because, finding, is_of_model, of_failure
from vae_fidelity.live.model import Model
from vae_fidelity.live.rounding import allowed, distance
from vae_fidelity.live.trip import decode, encode, untouched
from vae_fidelity.reports import Finding

Array = npt.NDArray[np.float32]


def of_slicing(model: Model, precision: str, sample: Array, latents: Array) -> list[Finding]:
    """What `encode` and `decode` make of two pictures at once and do not make of each alone: of `sample` and `latents`,
    and of the same mirrored."""
    methods: dict[str, tuple[Callable[[Model, Array], Array], Array]] = {
        "encode": (lambda model, given: encode(model, given)[0], sample),
        "decode": (lambda model, given: decode(model, given)[0], latents),
    }
    room = allowed(precision, "whole")
    for method, (run, given) in methods.items():
        pictures = [given, np.ascontiguousarray(given[..., ::-1])]
        try:
            with untouched(model):
                alone = np.concatenate([run(model, each) for each in pictures])
                together = run(model, np.concatenate(pictures))
        except Exception as error:
            if not is_of_model(error):
                raise
            return [of_failure(model, ModelFailed(method, None, error))]
        if together.shape != alone.shape:
            how = f"gives {together.shape}, and {alone.shape} of each alone"
        else:
            off = distance(alone, together)
            if off.within(room):
                continue
            how = f"is {off.beyond(room)}, held against each alone"
        why = suspects.of_method(model, method)
        return [
            finding("live-forward-differs", f"{method}() of two pictures, with slicing on, {how}{because(why)}", method, why=why)
        ]
    return []
