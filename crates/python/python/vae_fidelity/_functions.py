"""What needs no model in memory."""

from __future__ import annotations

import json
import os
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._from_json import from_json
from vae_fidelity._pictures import Picture, given
from vae_fidelity.reports import Cause, CompareReport, InspectReport, PixelMetrics

Path = Union[str, "os.PathLike[str]"]


def inspect(
    repo: Path,
    *,
    subfolder: Optional[str] = None,
    revision: Optional[str] = None,
    variant: Optional[str] = None,
    key: Optional[str] = None,
    config: Optional[Path] = None,
    family: Optional[str] = None,
    offline: bool = False,
) -> InspectReport:
    """What a checkpoint holds and what is wrong with it, without running it: the command's `inspect`.

    >>> import vae_fidelity
    >>> report = vae_fidelity.inspect("builtin")
    >>> report.verdict, report.family.name
    ('pass', 'builtin')

    Keywords are those of `Pipeline`.

    Raises:
        VaeFidelityError: if there is nothing to look into.
    """
    report = _native.inspect(
        os.fspath(repo),
        subfolder=subfolder,
        revision=revision,
        variant=variant,
        key=key,
        config=config,
        family=family,
        offline=offline,
    )
    return from_json(InspectReport, json.loads(report))


def compare(a: Path, b: Path) -> CompareReport:
    """How two pictures, or two files of tensors, differ: the command's `compare`.

    >>> import vae_fidelity
    >>> report = vae_fidelity.compare("golden/images/astronaut.png", "golden/images/astronaut.png")
    >>> report.metrics.identical
    True

    Raises:
        VaeFidelityError: if one cannot be read, or one is a picture and the other is not.
    """
    of_either: Any = CompareReport
    report: CompareReport = from_json(of_either, json.loads(_native.compare(a, b)))
    return report


def explain(code: Optional[str] = None) -> list[Cause]:
    """What is known of a finding's code, or of all: meaning, rule, remedy, sources.

    >>> import vae_fidelity
    >>> [cause] = vae_fidelity.explain("scaling-factor-mismatch")
    >>> cause.severity
    'error'

    Raises:
        VaeFidelityError: if there is no such code.
    """
    return from_json(list[Cause], json.loads(_native.explain(code)))


def preprocess(
    path: Picture, *, width: Optional[int] = None, height: Optional[int] = None, exif: str = "ignore", alpha: bool = False
) -> npt.NDArray[np.uint8]:
    """A picture as the VAE is given it, (height, width, 3) in 8 bits.

    The bytes are those of Pillow's `Image.open(path).convert("RGB").resize((width, height), Image.BICUBIC)`, and
    Pillow is not needed. Without a size each side is taken down to a multiple of 8.

    >>> import vae_fidelity
    >>> vae_fidelity.preprocess("golden/images/astronaut.png", width=64, height=48).shape
    (48, 64, 3)

    Args:
        path: A picture's file, or a picture as `check` takes it.
        width: Columns, a multiple of 8.
        height: Rows, a multiple of 8.
        exif: `ignore` the orientation, as Pillow does, or `apply` it.
        alpha: As a VAE of RGBA is given it, (height, width, 4): Pillow's `convert("RGBA")`.

    Raises:
        VaeFidelityError: if it is no picture that can be read.
    """
    values, name, _ = given(path, exif)
    return _native.preprocess(values, name=name, width=width, height=height, exif=exif, alpha=alpha)


def metrics(a: Picture, b: Picture) -> PixelMetrics:
    """How far picture `a` lies from `b`, which is what was expected: PSNR, SSIM and their kin.

    >>> import vae_fidelity
    >>> found = vae_fidelity.metrics("golden/images/astronaut.png", "golden/images/astronaut.png")
    >>> found.identical, found.ssim
    (True, 1.0)

    Args:
        a: A path, bytes, a PIL image, or 8-bit pixels (height, width, 3).
        b: Another one, of the same size.

    Raises:
        VaeFidelityError: if one cannot be read, or their sizes differ.
    """
    return from_json(PixelMetrics, json.loads(_native.metrics(given(a)[0], given(b)[0])))
