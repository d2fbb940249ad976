"""`evaluate` on the machines of a Ray cluster.

    import vae_fidelity.ray
    found = vae_fidelity.ray.evaluate("/shared/val2017", ["A", "B"], out="/shared/result")
    found = vae_fidelity.ray.evaluate(ray.data.read_images("s3://bucket/val"), "A", out="/shared/result")

The number of machines, which of them does what, and which of them dies on the way change no bit of the result.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from vae_fidelity import _evaluate
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._evaluate import Evaluation, Path
from vae_fidelity._numbers import check_counts, check_least
from vae_fidelity._pipeline import Pipeline
from vae_fidelity._ray_pictures import is_data_set, write_archive

if TYPE_CHECKING:
    import ray.data

__all__ = ["evaluate"]

_SHARDS_A_WORKER = 4


def evaluate(
    data: Union[Path, ray.data.Dataset],
    repo: Union[Path, Sequence[Path]] = "builtin",
    *,
    out: Path,
    protocol: Path = "vae-fidelity",
    workers: Optional[int] = None,
    shards: Optional[int] = None,
    threads: int = 1,
    metric_weights: Optional[Path] = None,
    reference: Optional[Path] = None,
    min_psnr: Optional[float] = None,
    min_ssim: Optional[float] = None,
    min_ms_ssim: Optional[float] = None,
) -> Evaluation:
    """Sends every picture of a data set through every VAE, on a Ray cluster, and sums up.

    The data set is cut into shards, which actors of Ray Data work through: each loads the VAEs once. Where an actor
    or its machine dies, Ray starts another one, which goes on where the shard was stopped. The result is that of
    `vae_fidelity.evaluate`, to the bit.

    Every machine needs this package, and has to see `data`, `out` and the VAEs under the same paths.

    Args:
        data: As `vae_fidelity.evaluate` takes it; or a data set of Ray, whose rows have a picture's file as `bytes`, and
            its `path` if it is known, or as `image` 8-bit pixels, a file's bytes, or both as Python's `datasets` has
            them. Its pictures are written to `<out>.data/pictures.tar` first, in its order, and stay there for
            `explain-gap`.
        repo: A VAE, or several: `builtin`, a path, or a repository's id.
        out: The folder that is written. Shards lie beside it, in `<out>.shards`, until they are put together.
        protocol: Every choice that changes a number: a built-in one's name, or a TOML file.
        workers: How many actors there are; by default as many as the cluster has processors for.
        shards: Into how many parts the data set is cut; by default four for each actor. Started again after a stop
            with the same number, parts that are done are not done again.
        threads: How many threads, and so many processors, an actor has.
        metric_weights: The folder with the weights of LPIPS, DISTS and rFID. What torch itself has downloaded is found
            without it.
        reference: What rFID is held against in place of what went in, as `vae_fidelity.evaluate` takes it; read here
            alone, when the shards are put together.
        min_psnr: Fail where the mean PSNR is below this, in dB.
        min_ssim: Fail where the mean SSIM is below this.
        min_ms_ssim: Fail where the mean MS-SSIM is below this.

    Raises:
        VaeFidelityError: if nothing can be judged.
    """
    check_counts(workers=workers, shards=shards, threads=threads)
    least = {"min_psnr": min_psnr, "min_ssim": min_ssim, "min_ms_ssim": min_ms_ssim}
    check_least(**least)
    given: list[Any] = [repo] if isinstance(repo, (str, os.PathLike, Pipeline)) else list(repo)
    if any(isinstance(of, Pipeline) for of in given):
        problem = "expected names of VAEs, found a Pipeline, which stays where it was loaded"
        raise VaeFidelityError("option", "`repo`", problem, "give what it was loaded from")
    ray = _ray()
    if not ray.is_initialized():
        ray.init()
    workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
    shards = shards or _SHARDS_A_WORKER * workers
    source: Any = data
    if is_data_set(data):
        source = pathlib.Path(f"{os.path.abspath(out)}.data", "pictures.tar")
        write_archive(data, source)
    folders = [_folder(out, shard, shards) for shard in range(shards)]
    asked = {
        "data": _anywhere(source),
        "protocol": _anywhere(protocol),
        "metric_weights": None if metric_weights is None else _anywhere(metric_weights),
    }
    parts = ray.data.from_items(
        [{"shard": shard, "folder": os.fspath(folder)} for shard, folder in enumerate(folders)],
        override_num_blocks=shards,
    )
    done = parts.map_batches(
        _Actor,
        fn_constructor_args=([_anywhere(of) for of in given], threads, shards, asked),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=threads,
    )
    for part in done.iter_rows():
        if part["error"]:
            raise VaeFidelityError(*json.loads(part["error"]))
    evaluation = _evaluate.merge(folders, out=out, reference=reference, **least)
    for folder in folders:
        shutil.rmtree(folder)
    if not any(folders[0].parent.iterdir()):
        folders[0].parent.rmdir()
    return evaluation


def _ray() -> Any:
    try:
        importlib.import_module("ray.data")
        return importlib.import_module("ray")
    except ImportError as error:
        raise ImportError("vae_fidelity.ray needs Ray: pip install 'ray[data]'") from error


class _Actor:
    """The VAEs, loaded once, and shards for them."""

    def __init__(self, repos: list[str], threads: int, shards: int, asked: dict[str, Any]) -> None:
        self._repos, self._threads, self._shards, self._asked = repos, threads, shards, asked
        self._pipelines: Optional[list[Pipeline]] = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        errors = [self._evaluated(int(shard), folder) for shard, folder in zip(batch["shard"], batch["folder"])]
        return {**batch, "error": errors}

    def _evaluated(self, shard: int, folder: str) -> str:
        """Nothing, or the error: of what an actor raises, Ray keeps the text alone."""
        try:
            if self._pipelines is None:
                self._pipelines = [Pipeline(repo, threads=self._threads) for repo in self._repos]
            part = f"{shard}/{self._shards}"
            _evaluate.evaluate(repo=self._pipelines, out=folder, shard=part, threads=self._threads, **self._asked)
        except VaeFidelityError as error:
            return json.dumps(error.args)
        return ""


def _folder(out: Path, shard: int, shards: int) -> pathlib.Path:
    return pathlib.Path(f"{os.path.abspath(out)}.shards", f"{shard:05}-of-{shards:05}")


def _anywhere(name: Path) -> str:
    """A path so that it means the same in every folder; what is none stays as it is."""
    return os.path.abspath(name) if os.path.exists(name) else os.fspath(name)
