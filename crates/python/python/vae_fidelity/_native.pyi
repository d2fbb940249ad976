import os
from collections.abc import Sequence
from typing import Callable, Optional, Union, final

import numpy as np
import numpy.typing as npt

_Given = Union[str, bytes, npt.NDArray[np.uint8], npt.NDArray[np.float32]]
_Path = Union[str, os.PathLike[str]]
_Latents = Union[_Path, npt.NDArray[np.float32]]
_Decoded = tuple[str, str, Optional[npt.NDArray[np.uint8]], Optional[npt.NDArray[np.float32]]]

_Summed = tuple[str, str, list[str]]
_Repo = Union[str, tuple[str, Optional[str], bytes]]

__all__ = [
    "Checked",
    "Checkpoint",
    "Pipeline",
    "Reference",
    "__version__",
    "classes",
    "compare",
    "evaluate",
    "evaluated",
    "expected_tensors",
    "explain",
    "explain_gap",
    "inspect",
    "merge",
    "has_alpha",
    "metrics",
    "modules",
    "multiple_of",
    "preprocess",
    "run",
    "run_goldens",
]

__version__: str

def run(arguments: list[str]) -> int: ...
def inspect(
    repo: _Repo,
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
def evaluate(
    data: _Path,
    pipelines: list[Pipeline],
    *,
    out: _Path,
    protocol: str,
    shard: str,
    call: str,
    metric_weights: Optional[_Path] = None,
    reference: Optional[_Path] = None,
    threads: Optional[int] = None,
    min_psnr: Optional[float] = None,
    min_ssim: Optional[float] = None,
    min_ms_ssim: Optional[float] = None,
    progress: Optional[Callable[[str], object]] = None,
) -> _Summed: ...
def merge(
    folders: Sequence[_Path],
    *,
    out: _Path,
    call: str,
    reference: Optional[_Path] = None,
    min_psnr: Optional[float] = None,
    min_ssim: Optional[float] = None,
    min_ms_ssim: Optional[float] = None,
) -> _Summed: ...
def evaluated(path: _Path, index: int, keyword: str) -> tuple[str, str]: ...
def explain_gap(
    results: Sequence[_Path],
    pipelines: list[Pipeline],
    *,
    models: Sequence[int],
    data: Sequence[_Path],
    sample: int,
    metric_weights: Optional[_Path] = None,
    threads: Optional[int] = None,
    progress: Optional[Callable[[str], object]] = None,
) -> tuple[str, str]: ...
def classes() -> list[tuple[str, bool]]: ...
def multiple_of(config: str) -> int: ...
def has_alpha(config: str) -> bool: ...
def expected_tensors(config: str) -> list[tuple[str, list[int]]]: ...
def explain(code: Optional[str] = None) -> str: ...
def modules(config: str) -> list[tuple[str, str]]: ...
def metrics(a: _Given, b: _Given) -> str: ...
def run_goldens(
    suite: _Path,
    load: Callable[..., object],
    *,
    only: list[str],
    failures: Optional[_Path] = None,
    tell: Optional[Callable[[str], object]] = None,
) -> tuple[str, str]: ...
def preprocess(
    given: _Given,
    *,
    name: str,
    exif: str,
    width: Optional[int] = None,
    height: Optional[int] = None,
    alpha: bool = False,
) -> npt.NDArray[np.uint8]: ...

@final
class Checked:
    def json(self) -> str: ...
    def text(self) -> str: ...
    def seen(self) -> npt.NDArray[np.uint8]: ...
    def picture(self) -> Optional[npt.NDArray[np.uint8]]: ...
    def clip_pictures(self) -> Optional[npt.NDArray[np.uint8]]: ...
    def tensor(self, name: str) -> Optional[npt.NDArray[np.float32]]: ...
    def html(self, command: str, path: Optional[_Path] = None) -> str: ...

@final
class Pipeline:
    def __new__(
        cls,
        repo: _Repo,
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
        frames: Optional[int] = None,
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
    def trace(
        self,
        given: _Given,
        *,
        name: str,
        notes: list[str],
        exif: str,
        width: Optional[int] = None,
        height: Optional[int] = None,
        seed: Optional[int] = None,
        against: Optional[_Path] = None,
        atol: Optional[float] = None,
        rtol: Optional[float] = None,
        save: Optional[_Path] = None,
        progress: Optional[Callable[[str], object]] = None,
    ) -> str: ...
    def model(self) -> str: ...

@final
class Reference:
    def __new__(cls, pipeline: Pipeline) -> Reference: ...
    def modules(self) -> list[tuple[str, str]]: ...
    def multiple_of(self) -> int: ...
    def has_alpha(self) -> bool: ...
    def is_of_clips(self) -> bool: ...
    def forward_module(self, name: str, input: npt.NDArray[np.float32]) -> Optional[npt.NDArray[np.float32]]: ...
    def encode(
        self, sample: npt.NDArray[np.float32]
    ) -> tuple[Optional[npt.NDArray[np.float32]], Optional[npt.NDArray[np.float32]], npt.NDArray[np.float32]]: ...
    def decode(self, latents: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]: ...

@final
class Checkpoint:
    def __new__(
        cls,
        repo: _Repo,
        *,
        subfolder: Optional[str] = None,
        revision: Optional[str] = None,
        variant: Optional[str] = None,
        key: Optional[str] = None,
        config: Optional[_Path] = None,
        family: Optional[str] = None,
        offline: bool = False,
    ) -> Checkpoint: ...
    def tensors(self) -> list[tuple[str, list[int], str]]: ...
    def config(self) -> Optional[str]: ...
    def array(self, name: str) -> npt.NDArray[np.float32]: ...
