"""`check`: of a checkpoint, or of a model in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Union, overload

from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._pictures import Clip, Picture
from vae_fidelity._pipeline import Path, Pipeline
from vae_fidelity._progress import Progress, Shown
from vae_fidelity._report import Report
from vae_fidelity.live.check import check_module, check_object
from vae_fidelity.live.implementation import has_both, is_of_class
from vae_fidelity.live.model import is_module
from vae_fidelity.live.report import LiveReport

if TYPE_CHECKING:
    import torch


_BUILTIN = "builtin"

_OF_MODEL = (
    "subfolder", "revision", "variant", "key", "config", "family", "offline", "dtype", "threads", "max_memory",
    "tiling", "tile_size", "slicing", "engine",
)  # fmt: skip

_OF_LIVE = (
    "against", "same_bits", "width", "height", "exif", "min_psnr", "min_ssim", "min_ms_ssim", "progress",
)  # fmt: skip


@overload
def check(
    picture: Clip,
    repo: Path = "builtin",
    *,
    subfolder: Optional[str] = None,
    revision: Optional[str] = None,
    variant: Optional[str] = None,
    key: Optional[str] = None,
    config: Optional[Path] = None,
    family: Optional[str] = None,
    offline: bool = False,
    dtype: Optional[str] = None,
    threads: Optional[int] = None,
    max_memory: Optional[int] = None,
    tiling: bool = False,
    tile_size: Optional[int] = None,
    slicing: bool = False,
    engine: Optional[str] = None,
    width: Optional[int] = None,
    height: Optional[int] = None,
    exif: str = "ignore",
    frames: Optional[int] = None,
    sample: bool = False,
    seed: Optional[int] = None,
    min_psnr: Optional[float] = None,
    min_ssim: Optional[float] = None,
    min_ms_ssim: Optional[float] = None,
    baseline: Optional[Path] = None,
    cross_check: bool = False,
    forecast: bool = False,
    latents: Any = None,
    latents_scale: str = "auto",
    latents_key: Optional[str] = None,
    decoded_image: Optional[Picture] = None,
    preprocessed: Any = None,
    against: Optional[Path] = None,
    progress: Progress = False,
) -> Report: ...


@overload
def check(
    picture: torch.nn.Module,
    repo: Picture,
    *,
    against: Union[Path, torch.nn.Module, None] = None,
    same_bits: bool = False,
    width: Optional[int] = None,
    height: Optional[int] = None,
    exif: str = "ignore",
    min_psnr: Optional[float] = None,
    min_ssim: Optional[float] = None,
    min_ms_ssim: Optional[float] = None,
    progress: Progress = False,
) -> LiveReport: ...


def check(picture: Any, repo: Any = _BUILTIN, **asked: Any) -> Union[Report, LiveReport]:
    """Encodes and decodes a picture, and judges what comes back: the command's `check`, or a model in memory.

    >>> import vae_fidelity
    >>> report = vae_fidelity.check("golden/images/astronaut.png", width=256, height=256)
    >>> report.verdict, report.findings
    ('pass', [])

    `check(picture, repo)` loads the VAE of `repo`, by default the built-in one. `Pipeline` documents the keywords of
    the model, `Pipeline.check` the picture and all others.

    `check(pipe.vae, picture)` judges a `torch.nn.Module` of diffusers' classes as it is in memory: its weights run on
    this package's engine, and each of its layers, as it runs, is held against the same layer there on the same
    input. What is found is named with its layer and with what is unlike the class: a `forward()` that was replaced,
    a parameter, a hook, a kernel. Nothing of the model is changed. Its keywords are `width`, `height`, `exif`,
    `min_psnr`, `min_ssim`, `min_ms_ssim` and `progress`, and

    - `against`: what the weights should be: a folder, a file, a hub's id or another model. By default what the
      model's config says that they came from, where that is at hand without the network.
    - `same_bits`: also say whether a fresh instance of diffusers' own class gives the same bits on the CPU.

    Any other object with `encode(sample)`, which gives latents that are not scaled, and `decode(latents)` is judged by
    what it makes of the picture, beside the checkpoint `against`; that is a `Report`, as of a checkpoint.

    Raises:
        VaeFidelityError: if nothing could be judged.
    """
    if is_module(picture) or has_both(picture):
        return _live(picture, repo, asked)
    if not isinstance(repo, Pipeline) and (is_module(repo) or has_both(repo)):
        return _live(repo, picture, asked)
    of_model = {name: asked.pop(name) for name in _OF_MODEL if name in asked}
    return Pipeline(repo, **of_model).check(picture, **asked)


def _live(model: Any, picture: Any, asked: dict[str, Any]) -> Union[Report, LiveReport]:
    if picture is _BUILTIN:
        next = "give one: check(pipe.vae, picture)"
        raise VaeFidelityError("option", "a picture", "is needed to judge a model in memory", next)
    for name in asked:
        if name not in _OF_LIVE:
            problem = "is not for a model in memory, which is judged as it is"
            raise VaeFidelityError("option", f"`{name}`", problem, f"leave it out; it takes {', '.join(_OF_LIVE)}")
    against, same_bits = asked.pop("against", None), asked.pop("same_bits", False)
    with Shown(asked.pop("progress", False)) as shown:
        tell: Callable[[str], object] = shown or (lambda step: None)
        if is_of_class(model) or not has_both(model):
            return check_module(model, picture, against=against, same_bits=same_bits, tell=tell, **asked)
        return check_object(model, picture, against=against, tell=tell, **asked)
