"""Why two evaluations differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Optional, TypeVar, Union

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._evaluate import Evaluation, Path, Vae
from vae_fidelity._from_json import with_behind
from vae_fidelity._numbers import check_counts, check_places
from vae_fidelity._pipeline import Pipeline
from vae_fidelity._progress import Progress, Shown
from vae_fidelity.reports import GapReport

Result = Union[Path, Evaluation]
T = TypeVar("T")


class Gap(GapReport):
    """What `explain_gap` says of two results: each metric, and what each choice moves."""

    _text: str
    _json: str

    @classmethod
    def _of(cls, explained: tuple[str, str]) -> Gap:
        report, text = explained
        return with_behind(cls, report, _text=text, _json=report)

    def to_json(self) -> str:
        """The line that `vae-fidelity explain-gap --json` prints."""
        return self._json

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        metrics = ", ".join(gap.metric for gap in self.metrics)
        return f"<Gap of {metrics}, {self.sampled} pictures, verdict={self.verdict!r}>"


def explain_gap(
    a: Result,
    b: Result,
    *,
    data: Union[Path, Sequence[Path], None] = None,
    repo: Union[Vae, Sequence[Vae], None] = None,
    model_a: int = 0,
    model_b: int = 0,
    sample: int = 64,
    metric_weights: Optional[Path] = None,
    threads: Optional[int] = None,
    progress: Progress = False,
) -> Gap:
    """Says which choices make two results differ, and by how much each: the command's `explain-gap`.

    >>> import tempfile, vae_fidelity
    >>> def evaluated(protocol):
    ...     out = f"{folder}/{protocol}"
    ...     return vae_fidelity.evaluate("golden/images/astronaut.png", out=out, protocol=protocol)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     gap = vae_fidelity.explain_gap(evaluated("vae-fidelity-256"), evaluated("lavinal712"))
    >>> [of.metric for of in gap.metrics][:2]
    ['psnr_db', 'ssim']

    Args:
        a: What `evaluate` or `merge` returned, its folder, or a `result.json`.
        b: The other one.
        data: The data set, or that of each side, where it no longer lies where the results say.
        repo: The VAE, or that of each side, where it no longer lies there; a `Pipeline`, too.
        model_a: Which model of `a`, from 0.
        model_b: Which model of `b`, from 0.
        sample: How many pictures are computed anew at most.
        metric_weights: The folder with the weights of LPIPS and DISTS. What torch itself has downloaded is found
            without it.
        threads: How many threads compute; a `Pipeline` has its own number.
        progress: Called with a line after each trip; `True` shows it with tqdm.

    Returns:
        What each choice moves. `verdict` is `fail` where less than 95 % of a metric's gap is explained.

    Raises:
        VaeFidelityError: if a result, its pictures or its VAE cannot be read, or are not those that were evaluated.
    """
    check_counts(threads=threads, sample=sample)
    check_places(model_a=model_a, model_b=model_b)
    results = [of.out if isinstance(of, Evaluation) else of for of in (a, b)]
    models = [model_a, model_b]
    [from_a, from_b] = [_native.evaluated(result, model, f"`model_{side}`") for side, result, model in zip("ab", results, models)]
    vaes: list[Vae] = _of_sides("repo", repo, [from_a[0], from_b[0]])
    sets: list[Path] = _of_sides("data", data, [from_a[1], from_b[1]])
    different = vaes[:1] if vaes[0] == vaes[1] else vaes
    pipelines = [of if isinstance(of, Pipeline) else Pipeline(of, threads=threads) for of in different]
    with Shown(progress) as shown:
        explained = _native.explain_gap(
            results,
            [of._native for of in pipelines],
            models=models,
            data=sets,
            sample=sample,
            metric_weights=metric_weights,
            threads=threads,
            progress=shown,
        )
    return Gap._of(explained)


def _of_sides(name: str, given: Union[T, Sequence[T], None], found: Sequence[T]) -> list[T]:
    """One for both sides, or one for each; what the results say where there is none."""
    if given is None:
        return list(found)
    one = isinstance(given, (str, os.PathLike, Pipeline))
    each: list[T] = [given] if one else list(given)  # type: ignore[list-item, arg-type]
    if len(each) not in (1, 2):
        raise VaeFidelityError("option", f"`{name}`", f"expected one or two, found {len(each)}", "give one for each result")
    return [each[0], each[-1]]
