"""What ComfyUI's VAE makes of pictures, and how it gives them to its model.

Followed: ComfyUI 0.3.64, comfy/sd.py, class `VAE` (`encode`, `decode`, `process_input`, `vae_encode_crop_pixels`,
`latent_dim`), nodes.py, `VAEEncode` (three channels of a picture).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Optional

import torch
from vae_fidelity import VaeFidelityError


@dataclass(frozen=True)
class Trip:
    """Pictures on their way through a VAE."""

    latents: torch.Tensor
    """As the encoder makes them, (N, channels, height, width); not to be compared where it took tiles."""
    latents_scale: str
    """`raw`, or `scaled` where the model normalises them itself."""
    preprocessed: Optional[torch.Tensor]
    """What the encoder was given, (N, 3, height, width) in [-1, 1]; `None` where the VAE does not show it."""
    decoded: torch.Tensor
    """What came back, (N, height, width, 3) in [0, 1]."""
    tiled: frozenset[str]
    """`encoding` and `decoding`, where ComfyUI ran out of memory and took tiles for them."""


def pictures_of(vae: Any, image: Any, count: int) -> tuple[torch.Tensor, list[str]]:
    """The first `count` pictures of a ComfyUI IMAGE as `VAE Encode` takes them, (N, height, width, 3) in [0, 1], and
    what was left out.

    Raises:
        VaeFidelityError: if there is no colour picture of at least one latent.
    """
    shape = tuple(getattr(image, "shape", ()))
    if len(shape) != 4 or shape[0] < 1 or shape[3] not in (3, 4):
        problem = f"expected (pictures, height, width, 3 or 4 channels), found {shape}"
        raise VaeFidelityError("image", "image", problem, "connect an IMAGE of three channels")
    notes = []
    if shape[3] == 4:
        notes.append("alpha is left out, as by VAE Encode")
    if shape[0] > count:
        notes.append(f"{count} of {shape[0]} pictures judged; `pictures` takes more")
    taken = image[:count, :, :, :3]
    cropped = _cropped(vae, taken)
    height, width = cropped.shape[1:3]
    if 0 in (height, width):
        raise VaeFidelityError("image", "image", f"{shape[2]} x {shape[1]} is less than one latent", "give a larger picture")
    if (height, width) != shape[1:3]:
        notes.append(f"cropped from {shape[2]} x {shape[1]} to {width} x {height}, as by VAE Encode")
    return cropped.float().cpu(), notes


def through(vae: Any, pictures: torch.Tensor) -> Trip:
    """`pictures` through ComfyUI's own `encode` and `decode`. What they raise is ComfyUI's to show."""
    tiled: set[str] = set()
    with torch.no_grad(), _tiles(tiled):
        if getattr(vae, "latent_dim", 2) == 3:
            # A batch is a clip to it, and each picture is a clip of one frame here.
            made = [_as_clip(vae, picture[None]) for picture in pictures]
            latents, decoded = (torch.cat(each) for each in zip(*made))
        else:
            latents = vae.encode(pictures)
            decoded = vae.decode(latents)
    process_input = getattr(vae, "process_input", None)
    preprocessed = process_input(pictures.movedim(-1, 1)) if callable(process_input) else None
    model = vae.first_stage_model
    names = set(model.state_dict())
    if {"vae_scale", "vae_shift"} <= names:
        # comfy/taesd/taesd.py, TAESD.encode: to the scale of the latents of the VAE that it stands for.
        latents = (latents - model.vae_shift.to(latents)) * model.vae_scale.to(latents)
    # FLUX.2's statistics are the model's own: its encode ends with them.
    scale = "scaled" if "bn.running_mean" in names else "raw"
    return Trip(latents.float().cpu(), scale, preprocessed, decoded.float().cpu(), frozenset(tiled))


def _as_clip(vae: Any, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (1, channels, height, width) and picture (1, height, width, 3) of a clip of one frame."""
    latents = vae.encode(picture)
    decoded = vae.decode(latents)
    for what, clip, axis in (("latents", latents, 2), ("pictures", decoded, 1)):
        if clip.ndim != 5 or clip.shape[axis] != 1:
            problem = f"makes {what} of shape {tuple(clip.shape)} of one picture, expected a clip of one frame"
            raise VaeFidelityError("tensor", "vae", problem, "connect a VAE whose clips may have one frame")
    return latents[:, :, 0], decoded[:, 0]


def _cropped(vae: Any, pictures: torch.Tensor) -> torch.Tensor:
    if hasattr(vae, "vae_encode_crop_pixels"):
        cropped: torch.Tensor = vae.vae_encode_crop_pixels(pictures)
        return cropped
    ratio = getattr(vae, "downscale_ratio", 8)
    for side in (1, 2):
        size = pictures.shape[side]
        pictures = pictures.narrow(side, size % ratio // 2, size // ratio * ratio)
    return pictures


@contextmanager
def _tiles(tiled: set[str]) -> Iterator[None]:
    """Notices that ComfyUI takes tiles for want of memory, which it tells its log alone."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said = record.getMessage()
            if "retrying with tiled VAE" in said:
                tiled.add("encoding" if "tiled VAE encoding" in said else "decoding")

    listener, logger = Listener(), logging.getLogger()
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
