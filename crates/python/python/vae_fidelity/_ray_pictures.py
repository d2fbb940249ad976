"""A data set of Ray as an archive that `evaluate` reads."""

from __future__ import annotations

import importlib
import io
import os
import pathlib
import tarfile
from typing import Any

import numpy as np

from vae_fidelity._errors import VaeFidelityError

_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_NEXT = "give rows of `bytes`, and `path` if there is one, as ray.data.read_binary_files has them, or of `image`"


def is_data_set(data: Any) -> bool:
    """Whether it is one of Ray, without importing Ray."""
    return any(of.__module__.partition(".")[0] == "ray" for of in type(data).__mro__)


def write_archive(data_set: Any, path: pathlib.Path) -> None:
    """Writes the pictures of `data_set`, in its order, to an archive that depends on nothing else.

    Members are named by their number and, where the data set says it, their path.

    Raises:
        VaeFidelityError: if a row has no picture.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    options = data_set.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as archive:
            for number, row in enumerate(data_set.iter_rows()):
                content, name = _picture(row, number)
                member = tarfile.TarInfo(f"{number:09}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        os.replace(unfinished, path)
    finally:
        options.preserve_order = before
        unfinished.unlink(missing_ok=True)


def _picture(row: dict[str, Any], number: int) -> tuple[bytes, str]:
    """The bytes of a file, and its name."""
    held: Any = row.get("bytes", row.get("image"))
    picture, path = held, row.get("path")
    if isinstance(held, dict):
        # As Python's `datasets` writes them.
        picture, path = held.get("bytes"), held.get("path") or path
    if isinstance(picture, np.ndarray):
        return _png(picture, number), _named(path, ".png")
    if isinstance(picture, bytes):
        return picture, _named(path, "")
    found = f"columns {', '.join(row)}" if picture is None else f"a picture of type {type(picture).__name__}"
    raise VaeFidelityError("image", f"row {number}", f"expected a picture, found {found}", _NEXT)


def _named(path: Any, ending: str) -> str:
    """Names that end as pictures' do: by them an archive is read."""
    name = str(path or "picture").replace("\\", "/").rpartition("://")[2].lstrip("/")
    name = "/".join(part for part in name.split("/") if part not in ("", ".", "..")) or "picture"
    if name.lower().endswith(ending or _ENDINGS):
        return name
    return name + (ending or ".png")


def _png(pixels: np.ndarray[Any, Any], number: int) -> bytes:
    if pixels.dtype != np.uint8:
        found = f"an array of {pixels.dtype} {pixels.shape}"
        raise VaeFidelityError("image", f"row {number}", f"expected 8-bit pixels, found {found}", _NEXT)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    written = io.BytesIO()
    # Which Ray reads pictures with.
    importlib.import_module("PIL.Image").fromarray(pixels).save(written, "PNG")
    return written.getvalue()
