"""Pictures as people have them: paths, bytes, PIL images, arrays, tensors."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any, Optional, Union, cast

import numpy as np
import numpy.typing as npt

from vae_fidelity._errors import VaeFidelityError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import PIL.Image
    import torch

Picture = Union[str, "os.PathLike[str]", bytes, "PIL.Image.Image", "npt.NDArray[Any]", "torch.Tensor"]
"""A path; the bytes of a file; a PIL image; 8-bit pixels (height, width, 3); or what the encoder sees: floats
(3, height, width), (1, 3, height, width) or, as a clip of one frame, (1, 3, 1, height, width) in [-1, 1]. With alpha, for
a VAE of RGBA, 4 in place of 3."""

Clip = Union[Picture, "Sequence[PIL.Image.Image]", "Sequence[npt.NDArray[Any]]"]
"""Frames: a file or a folder of them; 8-bit pixels (frames, height, width, 3); what the encoder sees, floats
(1, 3, frames, height, width) or (frames, 3, height, width) in [-1, 1]; a list of PIL images or arrays, as pipelines return
them; or a still picture. With alpha, for a VAE of RGBA, 4 in place of 3."""

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
    name = _name_of(picture)
    return _of_array(_as_array(picture, name, "a picture", _NEXT), name), name, []


def given_clip(frames: Clip, exif: str = "ignore") -> tuple[Given, str, list[str]]:
    """The frames of a clip for the extension, its name in reports, and what a reader should know of it."""
    if isinstance(frames, (list, tuple)):
        return _of_list(frames, exif)
    if isinstance(frames, (str, os.PathLike, bytes, bytearray, memoryview)) or _is_of(frames, "PIL"):
        return given(cast(Picture, frames), exif)
    name = _name_of(frames)
    array = _as_array(frames, name, "a clip", _NEXT_CLIP)
    if array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] in (3, 4):
        return np.ascontiguousarray(array), name, []
    if array.dtype.kind == "f" and array.ndim == 5 and array.shape[:2] in _PICTURES:
        return np.ascontiguousarray(array[0].swapaxes(0, 1), dtype=np.float32), name, []
    if array.dtype.kind == "f" and array.ndim == 4 and array.shape[1] in (3, 4):
        return np.ascontiguousarray(array, dtype=np.float32), name, []
    if array.ndim > 3 and array.shape[0] != 1:
        found = f"found {array.dtype} of shape {array.shape}"
        raise VaeFidelityError("image", name, f"expected uint8 (T, H, W, 3) or floats (1, 3, T, H, W), {found}", _NEXT_CLIP)
    return given(array, exif)


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


def _name_of(value: object) -> str:
    return f"{type(value).__module__.split('.')[0]}.{type(value).__name__}"


def _of_list(frames: Sequence[Any], exif: str) -> tuple[Given, str, list[str]]:
    if not frames:
        raise VaeFidelityError("image", "the clip", "has no frame", _NEXT_CLIP)
    arrays: list[npt.NDArray[Any]] = []
    notes: list[str] = []
    for number, frame in enumerate(frames):
        array, name, of_frame = given(frame, exif)
        if not isinstance(array, np.ndarray):
            problem = f"expected frames as PIL images or arrays, found {type(frame).__name__} as frame {number}"
            raise VaeFidelityError("image", "the clip", problem, "give a folder's path for files, or open them first")
        if arrays and (array.dtype, array.shape) != (arrays[0].dtype, arrays[0].shape):
            shapes = f"{arrays[0].dtype} {arrays[0].shape} and {array.dtype} {array.shape}"
            problem = f"expected frames of one size and kind, found {shapes} (frame {number})"
            raise VaeFidelityError("image", "the clip", problem, "resize or convert them to the first frame's")
        arrays.append(array)
        notes += [note for note in of_frame if note not in notes]
    name = f"{type(frames).__name__} of {len(arrays)} {_name_of(frames[0])}"
    # Samples have a batch of one in front.
    joined: npt.NDArray[Any] = np.stack(arrays) if arrays[0].dtype == np.uint8 else np.concatenate(arrays)
    return joined, name, notes


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


_NEXT_CLIP = "give a path, 8-bit pixels (T, H, W, 3), floats (1, 3, T, H, W) in [-1, 1], or a list of frames"

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
