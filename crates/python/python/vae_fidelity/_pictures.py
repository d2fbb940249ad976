"""Pictures as people have them: paths, bytes, PIL images, arrays, tensors."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
import numpy.typing as npt

from vae_fidelity._errors import VaeFidelityError

if TYPE_CHECKING:
    import PIL.Image
    import torch

Picture = Union[str, "os.PathLike[str]", bytes, "PIL.Image.Image", "npt.NDArray[Any]", "torch.Tensor"]
"""A path; the bytes of a file; a PIL image; 8-bit pixels (height, width, 3); or what the encoder sees: floats
(3, height, width), (1, 3, height, width) or, as a clip of one frame, (1, 3, 1, height, width) in [-1, 1]. With alpha, for
a VAE of RGBA, 4 in place of 3."""

_PICTURES = ((1, 3), (1, 4))

Given = Union[str, bytes, "npt.NDArray[np.uint8]", "npt.NDArray[np.float32]"]
"""What the extension takes."""


def given(picture: Picture, exif: str = "ignore") -> tuple[Given, str, list[str]]:
    """`picture` for the extension, its name in reports, and what a reader should know of it."""
    if isinstance(picture, (str, os.PathLike)):
        path = os.fspath(picture)
        return path, path, []
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return bytes(picture), "bytes", []
    if _is_of(picture, "PIL"):
        return _of_pil(picture, exif)
    name = f"{type(picture).__module__.split('.')[0]}.{type(picture).__name__}"
    return _of_array(_as_array(picture, name, "a picture", _NEXT), name), name, []


def given_pixels(picture: Picture, name: str) -> Given:
    """A picture that was decoded, for the extension: a sample as `pixels_of` takes it."""
    values, _, _ = given(picture)
    if not isinstance(values, np.ndarray) or values.dtype == np.uint8:
        return values
    pixels = pixels_of(values.astype(np.float32), alpha=True)
    if pixels is None:
        raise VaeFidelityError("image", name, "holds NaN or infinity", "look at what was decoded before it is compared")
    return pixels


def pixels_of(sample: Optional[npt.NDArray[np.float32]], *, alpha: bool = False) -> Optional[npt.NDArray[np.uint8]]:
    """A decoded sample as 8-bit pixels, (height, width, 3), clamped and rounded as diffusers' pipelines do; with `alpha`
    also its fourth channel, where it has one. `None` where it is not finite, or no picture."""
    if sample is None or sample.ndim != 4 or sample.shape[:2] not in _PICTURES or not np.isfinite(sample).all():
        return None
    unit = np.clip(sample[0, : None if alpha else 3] / 2 + 0.5, 0, 1).transpose(1, 2, 0)
    pixels: npt.NDArray[np.uint8] = np.rint(unit * 255).astype(np.uint8)
    return pixels


def tensor(values: Any, name: str) -> npt.NDArray[np.float32]:
    """A tensor of the caller's pipeline in f32."""
    next = "give a tensor or array of numbers"
    if name == "latents":
        next += ": of diffusers' encode that is .latent_dist.mode() or .sample(), scaled for diffusion"
    array = _as_array(values, name, f"{name} as a tensor", next)
    if array.dtype.kind not in "fiu":
        raise VaeFidelityError("option", name, f"expected real numbers, found {array.dtype}", next)
    return np.ascontiguousarray(array, dtype=np.float32)


def one_frame(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Of a clip of one frame, (N, channels, 1, height, width), the frame; all else as it is.

    Raises:
        VaeFidelityError: if it is a clip of more.
    """
    if array.ndim != 5:
        return array
    if array.shape[2] != 1:
        problem = f"one picture is judged, found a clip of {array.shape[2]} frames, of shape {array.shape}"
        raise VaeFidelityError("image", name, problem, "give one frame of it, as x[:, :, :1] is the first")
    return np.ascontiguousarray(array[:, :, 0])


def _is_of(value: object, package: str) -> bool:
    return any(base.__module__.split(".")[0] == package for base in type(value).__mro__)


def _of_pil(picture: Any, exif: str) -> tuple[Given, str, list[str]]:
    notes = []
    name = getattr(picture, "filename", "") or "PIL.Image"
    try:
        if exif == "apply":
            picture = importlib.import_module("PIL.ImageOps").exif_transpose(picture)
        mode = "RGBA" if _has_alpha(picture) else "RGB"
        if picture.mode != mode:
            notes.append(f"converted from {picture.mode} by Pillow's convert")
        if picture.getexif().get(0x0112, 1) != 1:
            notes.append("the EXIF orientation is ignored, as by Pillow's convert: exif='apply' applies it")
        if picture.info.get("icc_profile"):
            notes.append("the ICC profile is ignored, as by Pillow's convert: the numbers are used as they are")
        return np.asarray(picture.convert(mode)), name, notes
    except Exception as error:
        raise VaeFidelityError("image", name, f"Pillow cannot read it: {error}", "open or save the file again") from error


def _has_alpha(picture: Any) -> bool:
    """Whether Pillow's convert to RGBA gives it an alpha of its own, and the colours that convert to RGB gives."""
    return picture.mode in ("RGBA", "LA", "PA") or picture.info.get("transparency") is not None


def _as_array(values: Any, name: str, what: str, next: str) -> npt.NDArray[Any]:
    try:
        if _is_of(values, "torch") and hasattr(values, "is_floating_point"):
            # numpy has no bfloat16; what 16 bits hold is exact in 32.
            is_float = values.detach().is_floating_point()
            values = (values.detach().float() if is_float else values.detach()).cpu().numpy()
        array = np.asarray(values)
    except Exception as error:
        raise VaeFidelityError("option", name, f"cannot be read as an array: {error}", next) from error
    if array.dtype.kind in "OSUV":
        found = f"{type(values).__module__}.{type(values).__qualname__}"
        raise VaeFidelityError("option", name, f"expected {what}, found {found}", next)
    return array


_NEXT = "give a path, bytes, a PIL image, 8-bit pixels (H, W, 3), or floats (3, H, W) in [-1, 1]"


def _of_array(array: npt.NDArray[Any], name: str) -> Given:
    if array.ndim == 4 and array.shape[0] != 1 and 3 in (array.shape[1], array.shape[3]):
        problem = f"expected one picture, found {array.shape[0]} in one of shape {array.shape}"
        raise VaeFidelityError("image", name, problem, "give them one at a time")
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] in (3, 4):
        return np.ascontiguousarray(array)
    if array.dtype.kind == "f":
        if array.ndim == 5 and array.shape[:2] in _PICTURES:
            array = one_frame(array, name)
        if array.ndim == 3 and array.shape[0] in (3, 4):
            array = array[None]
        if array.ndim == 4 and array.shape[:2] in _PICTURES:
            return np.ascontiguousarray(array, dtype=np.float32)
    found = f"found {array.dtype} of shape {array.shape}"
    raise VaeFidelityError("image", name, f"expected uint8 (H, W, 3) or floats (3, H, W), {found}", _NEXT)
