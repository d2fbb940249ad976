"""A checkpoint's tensors, without running it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._pipeline import Path


class TensorInfo(NamedTuple):
    """What a checkpoint says of a tensor."""

    shape: tuple[int, ...]
    """Its shape."""
    dtype: str
    """How it is stored: `f32`, `f16`, `bf16`, `float8_e4m3fn`, ..."""


class Checkpoint(Mapping[str, npt.NDArray[np.float32]]):
    """The tensors of a VAE by diffusers' names, read one by one.

    >>> import vae_fidelity
    >>> checkpoint = vae_fidelity.open_checkpoint("builtin")
    >>> checkpoint["encoder.conv_in.weight"].shape, checkpoint.info["encoder.conv_in.weight"].dtype
    ((16, 3, 3, 3), 'f16')
    """

    info: dict[str, TensorInfo]
    """Shape and dtype of each tensor, as it is stored."""
    config: Optional[dict[str, Any]]
    """The config, defaults filled in; `None` where none is known."""

    def __init__(self, native: _native.Checkpoint) -> None:
        self._native = native
        self.info = {name: TensorInfo(tuple(shape), dtype) for name, shape, dtype in native.tensors()}
        config = native.config()
        self.config = None if config is None else json.loads(config)

    def __getitem__(self, name: str) -> npt.NDArray[np.float32]:
        """The values of a tensor in f32, which is exact for what is stored in 16 bits or 8."""
        if name not in self.info:
            raise KeyError(name)
        return self._native.array(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.info)

    def __len__(self) -> int:
        return len(self.info)


def open_checkpoint(
    repo: Path,
    *,
    subfolder: Optional[str] = None,
    revision: Optional[str] = None,
    variant: Optional[str] = None,
    key: Optional[str] = None,
    config: Optional[Path] = None,
    family: Optional[str] = None,
    offline: bool = False,
) -> Checkpoint:
    """Opens a checkpoint without running it: diffusers' folders, single files, LDM names, pickles that never run.

    Keywords are those of `Pipeline`.

    Raises:
        VaeFidelityError: if there is nothing to open.
    """
    native = _native.Checkpoint(
        os.fspath(repo),
        subfolder=subfolder,
        revision=revision,
        variant=variant,
        key=key,
        config=config,
        family=family,
        offline=offline,
    )
    return Checkpoint(native)
