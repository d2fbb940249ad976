import os
from typing import Callable, Optional, Union, final

import numpy as np
import numpy.typing as npt

_Given = Union[str, bytes, npt.NDArray[np.uint8], npt.NDArray[np.float32]]
_Path = Union[str, os.PathLike[str]]
_Latents = Union[_Path, npt.NDArray[np.float32]]
_Decoded = tuple[str, str, Optional[npt.NDArray[np.uint8]], Optional[npt.NDArray[np.float32]]]

__all__ = ["Checked", "Pipeline", "__version__", "compare", "explain", "inspect", "preprocess", "run"]

__version__: str

def run(arguments: list[str]) -> int: ...
def inspect(
    repo: str,
    *,
    subfolder: Optional[str] = None,
    revision: Optional[str] = None,
    variant: Optional[str] = None,
    key: Optional[str] = None,
    config: Optional[_Path] = None,
    family: Optional[str] = None,
    offline: bool = False,
) -> str: ...
def compare(a: _Path, b: _Path) -> str: ...
def explain(code: Optional[str] = None) -> str: ...
def preprocess(path: _Path, *, exif: str, width: Optional[int] = None, height: Optional[int] = None) -> npt.NDArray[np.uint8]: ...

@final
class Checked:
    def json(self) -> str: ...
    def text(self) -> str: ...
    def seen(self) -> npt.NDArray[np.uint8]: ...
    def picture(self) -> Optional[npt.NDArray[np.uint8]]: ...
    def tensor(self, name: str) -> Optional[npt.NDArray[np.float32]]: ...
    def html(self, command: str, path: Optional[_Path] = None) -> str: ...

@final
class Pipeline:
    def __new__(
        cls,
        repo: str,
        *,
        subfolder: Optional[str] = None,
        revision: Optional[str] = None,
        variant: Optional[str] = None,
        key: Optional[str] = None,
        config: Optional[_Path] = None,
        family: Optional[str] = None,
        offline: bool = False,
        engine: Optional[str] = None,
        dtype: Optional[str] = None,
        threads: Optional[int] = None,
        max_memory: Optional[int] = None,
        tiling: bool = False,
        tile_size: Optional[int] = None,
        slicing: bool = False,
    ) -> Pipeline: ...
    def check(
        self,
        given: _Given,
        *,
        name: str,
        notes: list[str],
        exif: str,
        latents_scale: str,
        latents_key: Optional[str] = None,
        width: Optional[int] = None,
        height: Optional[int] = None,
        seed: Optional[int] = None,
        min_psnr: Optional[float] = None,
        min_ssim: Optional[float] = None,
        min_ms_ssim: Optional[float] = None,
        baseline: Optional[_Path] = None,
        cross_check: bool = False,
        forecast: bool = False,
        latents: Optional[_Latents] = None,
        decoded_image: Optional[_Given] = None,
        preprocessed: Optional[npt.NDArray[np.float32]] = None,
        against: Optional[_Path] = None,
        progress: Optional[Callable[[str], object]] = None,
    ) -> Checked: ...
    def decode(
        self,
        given: _Latents,
        *,
        latents_scale: str,
        latents_key: Optional[str] = None,
        decoded_image: Optional[_Given] = None,
        progress: Optional[Callable[[str], object]] = None,
    ) -> list[_Decoded]: ...
    def probe(self, *, size: Optional[int] = None, progress: Optional[Callable[[str], object]] = None) -> str: ...
    def model(self) -> str: ...
