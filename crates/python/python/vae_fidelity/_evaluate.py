"""VAEs judged by a data set."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Optional, Union

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._from_json import with_behind
from vae_fidelity._numbers import check_counts, check_least
from vae_fidelity._pipeline import Pipeline
from vae_fidelity._progress import Progress, Shown
from vae_fidelity.reports import EvaluationReport

Path = Union[str, "os.PathLike[str]"]
Vae = Union[Path, Pipeline]


class Evaluation(EvaluationReport):
    """What `evaluate` or `merge` says of a data set: everything of `result.json`, and where the rest lies."""

    out: pathlib.Path
    """The folder with `result.json`, `rows.parquet`, `latents.parquet` and `report.html`."""
    left_out: list[str]
    """The metrics of the protocol for which there were no weights."""
    _text: str
    _json: str

    @classmethod
    def _of(cls, summed: tuple[str, str, list[str]], out: Path) -> Evaluation:
        report, text, left_out = summed
        return with_behind(cls, report, _text=text, _json=report, out=pathlib.Path(out), left_out=left_out)

    def to_json(self) -> str:
        """The line that `vae-fidelity evaluate --json` prints."""
        return self._json

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<Evaluation of {self.pictures} pictures, verdict={self.verdict!r}, out={os.fspath(self.out)!r}>"


def evaluate(
    data: Path,
    repo: Union[Vae, Sequence[Vae]] = "builtin",
    *,
    out: Path,
    protocol: Path = "vae-fidelity",
    shard: str = "0/1",
    metric_weights: Optional[Path] = None,
    reference: Optional[Path] = None,
    threads: Optional[int] = None,
    min_psnr: Optional[float] = None,
    min_ssim: Optional[float] = None,
    min_ms_ssim: Optional[float] = None,
    progress: Progress = False,
) -> Evaluation:
    """Sends every picture of a data set through every VAE, by a protocol, and sums up: the command's `evaluate`.

    >>> import tempfile, vae_fidelity
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = vae_fidelity.evaluate("golden/images/astronaut.png", out=f"{folder}/result")
    >>> found.pictures, found.models[0].metrics.psnr_db.mean > 25
    (1, True)

    Stopped, by Ctrl-C too, and called again with the same `out`, it goes on.

    Args:
        data: A folder with all pictures below it, a list of paths (`.txt`), a tar archive as webdataset has it, a
            parquet file as `datasets` writes it, or a picture.
        repo: A VAE as `Pipeline` takes it, a `Pipeline`, or several of them, which are held against the first.
        out: The folder that is written: a new one, or that of the same evaluation.
        protocol: Every choice that changes a number: a built-in one's name, or a TOML file.
        shard: Part `i`, from 0, of `n`, as `"i/n"`; `merge` puts the folders of all parts together.
        metric_weights: The folder with the weights of LPIPS, DISTS and rFID. What torch itself has downloaded is found
            without it.
        reference: What rFID is held against in place of what went in: an `.npz` with `mu` and `sigma`, as
            pytorch-fid's `--save-stats` writes it, or `features/input.npy` of another result; of features by the same
            `rfid` as the protocol's.
        threads: How many threads compute; a `Pipeline` has its own number.
        min_psnr: Fail where the mean PSNR is below this, in dB.
        min_ssim: Fail where the mean SSIM is below this.
        min_ms_ssim: Fail where the mean MS-SSIM is below this.
        progress: Called with a line after each picture; `True` shows it with tqdm.

    Returns:
        The result. Pictures that could not be judged are no exception: `errors` counts them, `failures` name them.

    Raises:
        VaeFidelityError: if nothing can be judged: no data set, no VAE, a folder of another evaluation.
    """
    check_counts(threads=threads)
    least = {"min_psnr": min_psnr, "min_ssim": min_ssim, "min_ms_ssim": min_ms_ssim}
    check_least(**least)
    given = [repo] if isinstance(repo, (str, os.PathLike, Pipeline)) else list(repo)
    pipelines = [of if isinstance(of, Pipeline) else Pipeline(of, threads=threads) for of in given]
    asked = {
        "repo": [of._repo for of in pipelines], "out": os.fspath(out), "protocol": os.fspath(protocol),
        "shard": None if shard == "0/1" else shard, "metric_weights": metric_weights,
        "reference": None if reference is None else os.fspath(reference), **least,
    }  # fmt: skip
    with Shown(progress) as shown:
        summed = _native.evaluate(
            data,
            [of._native for of in pipelines],
            out=out,
            protocol=os.fspath(protocol),
            shard=shard,
            call=_call("evaluate", os.fspath(data), asked),
            metric_weights=metric_weights,
            reference=reference,
            threads=threads,
            progress=shown,
            **least,
        )
    return Evaluation._of(summed, out)


def merge(
    folders: Iterable[Path],
    *,
    out: Path,
    reference: Optional[Path] = None,
    min_psnr: Optional[float] = None,
    min_ssim: Optional[float] = None,
    min_ms_ssim: Optional[float] = None,
) -> Evaluation:
    """Puts the shards of an evaluation together: the command's `merge`. To the bit what one run gives.

    Args:
        folders: The `out` of every shard, in any order.
        out: The folder that is written.
        reference: What rFID is held against in place of what went in, as `evaluate` takes it.
        min_psnr: Fail where the mean PSNR is below this, in dB.
        min_ssim: Fail where the mean SSIM is below this.
        min_ms_ssim: Fail where the mean MS-SSIM is below this.

    Raises:
        VaeFidelityError: if a shard is missing, there twice, not finished, or of another evaluation.
    """
    if isinstance(folders, (str, os.PathLike)):
        raise VaeFidelityError("option", "`folders`", "expected several folders, found one", "give a list")
    given = [os.fspath(folder) for folder in folders]
    least = {"min_psnr": min_psnr, "min_ssim": min_ssim, "min_ms_ssim": min_ms_ssim}
    check_least(**least)
    against = None if reference is None else os.fspath(reference)
    call = _call("merge", given, {"out": os.fspath(out), "reference": against, **least})
    return Evaluation._of(_native.merge(given, out=out, call=call, reference=reference, **least), out)


def _call(function: str, first: Any, asked: dict[str, Any]) -> str:
    """What the page says that it was made by."""
    given = [f"{name}={value!r}" for name, value in asked.items() if value is not None]
    return f"vae_fidelity.{function}({', '.join([repr(first), *given])})"
