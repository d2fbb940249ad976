"""The weights of a ComfyUI VAE on vae-fidelity's engine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import vae_fidelity
from vae_fidelity import VaeFidelityError

AUTO = "auto"

FAMILIES = (
    "sd1", "sd2", "sdxl", "playground-v2.5", "sd3", "flux1", "cogview", "x4-upscaler", "flux2", "taesd", "taesdxl", "taesd3",
    "taef1", "taef2", "asymmetric", "wan2.1", "wan2.2", "qwen-image", "qwen-image-layered",
    "sana", "dc-ae-f32-mix", "dc-ae-f64-mix", "dc-ae-f128-mix", "hunyuanimage", "qwen-image-2.1",
)  # fmt: skip
"""What `vae_fidelity.Pipeline` takes as `family`."""


@dataclass(frozen=True)
class Loaded:
    """Weights that are ready to judge pictures."""

    pipeline: vae_fidelity.Pipeline
    of_same_shapes: tuple[str, ...]
    """Families that these shapes leave open, the one that was taken first; empty where the family is known."""


def loaded(model: Any, family: str = AUTO, config: str = "") -> Loaded:
    """The weights of `first_stage_model`, under the names that ComfyUI's classes have: LDM's, TAESD's or Wan's.

    Raises:
        VaeFidelityError: if no VAE that is run here has these weights; it says which class they are of.
    """
    state = _state(model)
    asked: dict[str, Any] = {"config": config} if config else {}
    if family != AUTO:
        asked["family"] = family
    try:
        return Loaded(_pipeline(state, asked), ())
    except VaeFidelityError as error:
        if asked or error.code != "config":
            raise
        # The error names the families of these shapes.
        words = re.split(r"[\s,()]+", error.problem)
        same = tuple(name for name in FAMILIES if name in words)
        if not same:
            raise
    return Loaded(_pipeline(state, {"family": same[0]}), same)


def _state(model: Any) -> dict[str, Any]:
    """comfy/sd.py, `VAE.get_sd`."""
    try:
        state = dict(model.state_dict())
    except AttributeError:
        state = {}
    if state:
        return state
    found = f"{type(model).__module__}.{type(model).__qualname__}"
    raise VaeFidelityError("option", "vae", f"{found} has no weights to judge", "connect the VAE output of a loader")


def _pipeline(state: dict[str, Any], asked: dict[str, Any]) -> vae_fidelity.Pipeline:
    try:
        return vae_fidelity.Pipeline(state, **asked)
    except RuntimeError as error:
        # torch's, of tensors on its device meta and the like.
        next = "load the VAE whole, from a file that is neither offloaded nor quantised in groups"
        raise VaeFidelityError("tensor", "vae", f"its weights cannot be read: {error}", next) from error
