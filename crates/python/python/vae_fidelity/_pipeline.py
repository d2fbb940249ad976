"""A VAE that is loaded once and judges pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional, Union, cast

from vae_fidelity import _native, reports
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._from_json import from_json
from vae_fidelity._numbers import check_counts, check_least, check_seed
from vae_fidelity._pictures import Clip, Picture, given, given_clip, given_pixels, one_frame, tensor
from vae_fidelity._progress import Progress, Shown
from vae_fidelity._report import Decoded, Report
from vae_fidelity.live.model import Model, is_module, safetensors
from vae_fidelity.reports import ProbeReport

if TYPE_CHECKING:
    import torch

InMemory = tuple[str, Optional[str], bytes]
"""A name, a config as JSON, and a safetensors file."""

Path = Union[str, "os.PathLike[str]"]
Repo = Union[Path, "torch.nn.Module", "Mapping[str, torch.Tensor]"]


class Pipeline:
    """A VAE, loaded and ready to judge pictures.

    >>> import vae_fidelity
    >>> pipeline = vae_fidelity.Pipeline("builtin")
    >>> for name in ["astronaut.png", "coffee.jpg"]:
    ...     print(name, pipeline.check(f"golden/images/{name}").verdict)
    astronaut.png pass
    coffee.jpg pass

    One call runs at a time; calls from other threads wait for their turn. Other threads of Python go on
    meanwhile, and Ctrl-C ends a call.

    Args:
        repo: `builtin`, a folder in diffusers' layout, a file of weights, or the id of a repository on a hub,
            such as `CompVis/stable-diffusion-v1-4`. Only the last is asked for on the network. Or weights in memory:
            those of a `torch.nn.Module` of a class that is run here, or a state dict of torch's tensors under
            diffusers' names or LDM's, with `config` or `family` where shapes do not say everything.
        subfolder: The folder below it that holds the VAE; by default `vae`, else the source itself.
        revision: The branch, tag or commit of a repository on a hub.
        variant: Weights of this variant, such as `fp16`, where the folder has them.
        key: Where the VAE lies in a file that holds several, such as `ema`.
        config: A `config.json` in place of the one beside the weights.
        family: The family whose published scaling holds, such as `sdxl`, for a file that has no config.
        offline: Never ask the network; the hub's cache has to have it.
        dtype: The arithmetic: `f32` (the default), `f16` or `bf16`; the engine rounds to the last two after
            each layer.
        threads: How many threads compute; by default as many as the machine has processors.
        max_memory: How many bytes of memory the process may take while it encodes and decodes.
        tiling: Encode and decode in tiles, as diffusers' `enable_tiling()` does.
        tile_size: Pixels a side of a tile; by default the config's `sample_size`.
        slicing: One picture of a batch at a time, as diffusers' `enable_slicing()` does.
        engine: `fast`, the one that this package has. The command `vae-fidelity` built with libtorch has
            `reference`, too, which gives diffusers' bits.

    Raises:
        VaeFidelityError: if the checkpoint cannot be loaded; its `findings` say what is known all the same.
    """

    def __init__(
        self,
        repo: Repo = "builtin",
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
    ) -> None:
        source = _source(repo)
        self._repo = source if isinstance(source, str) else source[0]
        check_counts(threads=threads, max_memory=max_memory, tile_size=tile_size)
        asked = {
            "subfolder": subfolder, "revision": revision, "variant": variant, "key": key, "config": config,
            "family": family, "offline": offline or None, "dtype": dtype, "threads": threads,
            "max_memory": max_memory, "tiling": tiling or None, "tile_size": tile_size,
            "slicing": slicing or None, "engine": engine,
        }  # fmt: skip
        self._asked = {name: value for name, value in asked.items() if value is not None}
        self._native = _native.Pipeline(
            source,
            subfolder=subfolder,
            revision=revision,
            variant=variant,
            key=key,
            config=config,
            family=family,
            offline=offline,
            engine=engine,
            dtype=dtype,
            threads=threads,
            max_memory=max_memory,
            tiling=tiling,
            tile_size=tile_size,
            slicing=slicing,
        )

    @classmethod
    def _of_memory(cls, source: InMemory, dtype: Optional[str] = None) -> Pipeline:
        """The weights of a model in memory, as the extension takes them."""
        pipeline = cls.__new__(cls)
        pipeline._repo, pipeline._asked = source[0], {}
        pipeline._native = _native.Pipeline(source, dtype=dtype)
        return pipeline

    @property
    def model(self) -> reports.Model:
        """The VAE as reports show it: source, family, config, number of weights."""
        return from_json(reports.Model, json.loads(self._native.model()))

    def __repr__(self) -> str:
        return f"<Pipeline {self._repo!r}>"

    def check(
        self,
        picture: Clip,
        *,
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
    ) -> Report:
        """Encodes and decodes a picture, and judges what comes back: the command's `check`.

        Args:
            picture: A path, the bytes of a file, a PIL image, 8-bit pixels (height, width, 3) as an array, or
                what the encoder sees: an array or torch tensor of floats, (3, height, width), (1, 3, height, width) or a
                clip of one frame, (1, 3, 1, height, width), in [-1, 1], which is not resized.
            width: Columns to encode at, a multiple of 8; by default the picture's, taken down to one.
            height: Rows, likewise.
            exif: `ignore` the picture's orientation, as Pillow does, or `apply` it.
            frames: Also send a clip of 5, 9, 13, ... frames through, by a VAE of Wan or Qwen-Image: the first ones of
                `picture`, which may then be an animation's file, a folder, 8-bit pixels (frames, height, width, 3), what
                the encoder sees, (1, 3, frames, height, width), or a list of PIL images or arrays; or a still picture
                again and again. All else is of the first frame; the report's `clip`, `clip_pictures`,
                `clip_latents_array` and `clip_decoded_array` are of all.
            sample: Draw the latents from the posterior, with torch's random numbers of `seed`; by default its
                mode.
            seed: The seed of that draw.
            min_psnr: Fail below this PSNR, in dB.
            min_ssim: Fail below this SSIM.
            min_ms_ssim: Fail below this MS-SSIM.
            baseline: The JSON of an earlier run, than which nothing may be worse.
            cross_check: Run the plain kernels as well and compare, which takes twelve times as long.
            forecast: Also say what f16 and bf16 would do.
            latents: Latents that your own pipeline made of this picture: an array, a tensor, or a file that a
                program wrote (safetensors, npy, npz, pt, ComfyUI's `.latent`, a trainer's cache).
            latents_scale: Whether they are `scaled` for diffusion or `raw` as the encoder makes them; `auto` is
                what the program does that wrote the file, and scaled for arrays.
            latents_key: Which tensor of the file they are.
            decoded_image: The picture that your own pipeline decoded, taken as `picture` is; floats are clamped.
            preprocessed: The sample that your own pipeline gave the encoder.
            against: The file of a trace of another implementation.
            progress: Called with the name of each step as it begins; `True` shows them with tqdm.

        Returns:
            What is said of it. A VAE that is broken is no error: `verdict` is `fail`, and `findings` say why.

        Raises:
            VaeFidelityError: if the picture cannot be opened or the VAE cannot run on it.
        """
        check_counts(width=width, height=height, frames=frames)
        check_least(min_psnr=min_psnr, min_ssim=min_ssim, min_ms_ssim=min_ms_ssim)
        check_seed(sample, seed)
        seed = _seed(sample, seed)
        values, name, notes = given(cast(Picture, picture), exif) if frames is None else given_clip(picture, exif)
        of_user = given_pixels(decoded_image, "decoded_image") if decoded_image is not None else None
        with Shown(progress) as shown:
            checked = self._native.check(
                values,
                name=name,
                notes=notes,
                width=width,
                height=height,
                exif=exif,
                frames=frames,
                seed=seed,
                min_psnr=min_psnr,
                min_ssim=min_ssim,
                min_ms_ssim=min_ms_ssim,
                baseline=baseline,
                cross_check=cross_check,
                forecast=forecast,
                latents=None if latents is None else self._latents(latents),
                latents_scale=latents_scale,
                latents_key=latents_key,
                decoded_image=of_user,
                preprocessed=None if preprocessed is None else one_frame(tensor(preprocessed, "preprocessed"), "preprocessed"),
                against=against,
                progress=shown,
            )
        asked = {
            **self._asked, "width": width, "height": height, "exif": exif if exif != "ignore" else None,
            "frames": frames, "sample": sample or None, "seed": seed, "min_psnr": min_psnr, "min_ssim": min_ssim,
            "min_ms_ssim": min_ms_ssim, "baseline": baseline, "cross_check": cross_check or None,
            "forecast": forecast or None, "against": against,
        }  # fmt: skip
        files = {"latents": latents, "decoded_image": decoded_image, "preprocessed": preprocessed}
        return Report._of(checked, _call(self._repo, name, asked, [name for name in files if files[name] is not None]))

    def decode(
        self,
        latents: Any,
        *,
        latents_scale: str = "auto",
        latents_key: Optional[str] = None,
        decoded_image: Optional[Picture] = None,
        progress: Progress = False,
    ) -> list[Decoded]:
        """Decodes latents without their picture, and judges them: the command's `decode`.

        >>> import vae_fidelity
        >>> pipeline = vae_fidelity.Pipeline("builtin")
        >>> made = pipeline.check("golden/images/astronaut.png")
        >>> [decoded] = pipeline.decode(made.latents_array)
        >>> decoded.verdict, (decoded.picture == made.picture).all().item()
        ('pass', True)

        Args:
            latents: An array or tensor, (N, channels, height, width) or as pipelines have it: without N, channels
                last, FLUX.2's patches or tokens; or the file that a program wrote.
            latents_scale: `scaled` for diffusion, `raw` as the encoder makes them, or `auto`, as in `check`.
            latents_key: Which tensor of the file they are.
            decoded_image: The picture that your own pipeline decoded from the same latents, of one picture.
            progress: Called with the name of each step as it begins; `True` shows them with tqdm.

        Returns:
            One for each picture, in order. Latents that are wrong are no error: `verdict` is `fail`.

        Raises:
            VaeFidelityError: if a file cannot be read or the VAE cannot run on them.
        """
        of_user = given_pixels(decoded_image, "decoded_image") if decoded_image is not None else None
        with Shown(progress) as shown:
            rows = self._native.decode(
                self._latents(latents),
                latents_scale=latents_scale,
                latents_key=latents_key,
                decoded_image=of_user,
                progress=shown,
            )
        return [Decoded._of(*row) for row in rows]

    def trace(
        self,
        picture: Picture,
        *,
        width: Optional[int] = None,
        height: Optional[int] = None,
        exif: str = "ignore",
        sample: bool = False,
        seed: Optional[int] = None,
        against: Optional[Path] = None,
        atol: Optional[float] = None,
        rtol: Optional[float] = None,
        save: Optional[Path] = None,
        progress: Progress = False,
    ) -> reports.TraceReport:
        """Every layer for a picture, and where it parts from another trace: the command's `trace`.

        >>> import vae_fidelity
        >>> traced = vae_fidelity.Pipeline("builtin").trace("golden/images/astronaut.png", width=64, height=64)
        >>> traced.encode[0].module, traced.verdict
        ('encoder.conv_in', 'pass')

        Args:
            picture: As for `check`.
            width: As for `check`.
            height: As for `check`.
            exif: As for `check`.
            sample: As for `check`.
            seed: As for `check`.
            against: The file of a trace of another implementation.
            atol: What counts as rounding: so many standard deviations of a layer, plus `rtol` of the value; by default
                what was measured for f32 on the CPU.
            rtol: See `atol`.
            save: Where the trace is written as JSON.
            progress: Called with the name of each step as it begins; `True` shows them with tqdm.

        Raises:
            VaeFidelityError: if a file cannot be read or written, or the VAE cannot run on the picture.
        """
        check_counts(width=width, height=height)
        check_least(atol=atol, rtol=rtol)
        check_seed(sample, seed)
        values, name, notes = given(picture, exif)
        with Shown(progress) as shown:
            report = self._native.trace(
                values,
                name=name,
                notes=notes,
                width=width,
                height=height,
                exif=exif,
                seed=_seed(sample, seed),
                against=against,
                atol=atol,
                rtol=rtol,
                save=save,
                progress=shown,
            )
        return from_json(reports.TraceReport, json.loads(report))

    def probe(self, *, size: Optional[int] = None, progress: Progress = False) -> ProbeReport:
        """Sends synthetic charts through the VAE, and judges what comes back: the command's `probe`.

        Args:
            size: Pixels a side of the charts, a multiple of 64 from 128 on; by default 256.
            progress: Called with the name of each step as it begins; `True` shows them with tqdm.

        Raises:
            VaeFidelityError: if the VAE cannot run on them.
        """
        check_counts(size=size)
        with Shown(progress) as shown:
            report = self._native.probe(size=size, progress=shown)
        return from_json(ProbeReport, json.loads(report))

    def _latents(self, latents: Any) -> Any:
        if isinstance(latents, (str, os.PathLike)):
            return latents
        values = tensor(latents, "latents")
        # Of a clip the frames after the first are made from those before, so that none of them is a picture alone.
        return one_frame(values, "latents") if _native.Reference(self._native).is_of_clips() else values


def _seed(sample: bool, seed: Optional[int]) -> Optional[int]:
    if not sample:
        return None
    return int.from_bytes(os.urandom(4), "little") if seed is None else seed


def _call(repo: str, name: str, asked: dict[str, Any], files: list[str]) -> str:
    """The call as its page shows it; of arrays only that they were given."""
    words = [f"{key}={value!r}" for key, value in asked.items() if value is not None]
    words += [f"{name}=..." for name in files]
    return f"vae_fidelity.check({', '.join([repr(name), f'repo={repo!r}', *words])})"


def _source(repo: Any) -> Union[str, InMemory]:
    if isinstance(repo, (str, os.PathLike)):
        return os.fspath(repo)
    if is_module(repo):
        return Model.of(repo).source()
    if isinstance(repo, Mapping) and repo and all(hasattr(values, "is_floating_point") for values in repo.values()):
        return "a state dict in memory", None, safetensors(repo.items())
    found = f"{type(repo).__module__}.{type(repo).__qualname__}"
    next = "save it, for example with save_pretrained(folder), and give the folder"
    raise VaeFidelityError(
        "option", "`repo`", f"expected builtin, a folder, a file, a hub's id, a module or a state dict, found {found}", next
    )
