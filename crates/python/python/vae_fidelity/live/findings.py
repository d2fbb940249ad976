"""What is wrong with a model in memory, from what was recorded of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._from_json import from_json
from vae_fidelity.live import causes
from vae_fidelity.live.layers import Graph, Layer, Record
from vae_fidelity.live.model import Model
from vae_fidelity.live.rounding import allowed, coarser, distance
from vae_fidelity.live.trip import Posterior
from vae_fidelity.live.weights import MOST_ARE_OTHERS, WeightsComparison
from vae_fidelity.reports import Cause, Finding

Array = npt.NDArray[np.float32]

# Of what f16 holds.
_F16_MAX = 65504.0


@lru_cache(maxsize=None)
def _cause(code: str) -> Cause:
    [cause] = from_json(list[Cause], json.loads(_native.explain(code)))
    return cause


def finding(code: str, title: str, layer: Optional[str] = None, severity: Optional[str] = None, **evidence: Any) -> Finding:
    """A finding of `code` with what is known of its cause."""
    cause = _cause(code)
    grave: Any = severity or cause.severity
    return Finding(code=code, severity=grave, title=title, layer=layer, evidence=evidence, remedy=cause.remedy)


@dataclass(frozen=True)
class Stage:
    """`encode` or `decode` of one run."""

    method: str
    record: Record
    expected: Array
    """Moments, latents or the decoded sample of the reference."""
    found: Array
    """The model's."""


class ModelFailed(Exception):
    """The model itself raised an exception."""

    def __init__(self, method: str, layer: Optional[str], error: Exception) -> None:
        super().__init__(method, layer, error)
        self.method, self.layer, self.error = method, layer, error


def of_failure(model: Model, failed: ModelFailed) -> Finding:
    """A model that raises an exception where its class does not."""
    said = (str(failed.error).strip().splitlines() or [""])[0]
    where = f" in {failed.layer}" if failed.layer else ""
    dtypes = sorted({str(each.dtype).removeprefix("torch.") for each in model.module.parameters() if each.is_floating_point()})
    mixed = f"; its weights are {' and '.join(dtypes)}" if len(dtypes) > 1 else ""
    title = f"{failed.method}() raised {type(failed.error).__name__}{where}: {said}{mixed}"
    return finding("live-forward-differs", title, failed.layer or failed.method, dtypes=dtypes)


def of_layers(model: Model, layers: list[Layer], of_class: Optional[Any]) -> list[Finding]:
    """The first layer of each kind of fault: training mode, autocast, overflow, and everything else."""
    found: dict[str, Finding] = {}
    for layer in layers:
        if not layer.differs and layer.autocast is None:
            continue
        made = _of_layer(model, layer, of_class)
        # What comes after an overflow is its consequence.
        if made is not None and not any(code.startswith("fp16-overflow") for code in found):
            found.setdefault(made.code, made)
    return list(found.values())


def _of_layer(model: Model, layer: Layer, of_class: Optional[Any]) -> Optional[Finding]:
    numbers: dict[str, Any] = {"relative_rms": layer.relative_rms, "allowed_rms": layer.allowed_rms, "worst": layer.worst}
    numbers |= {"allowed_worst": layer.allowed_worst, "class": layer.class_name, "dtype": layer.dtype}
    if not layer.differs:
        own = allowed(model.precision(), "leaf")
        if layer.autocast == model.precision() or layer.relative_rms <= own.relative_rms:
            return None
        title = f"autocast runs {layer.name} in {layer.autocast}, and its weights are {model.precision()}"
        return finding("live-autocast", title, layer.name, **numbers)
    if layer.problem is not None:
        return finding("live-layer-differs", f"{layer.name}: {layer.problem}", layer.name, **numbers)
    if layer.non_finite and "float16" in (layer.dtype, layer.autocast) and layer.reference_max > _F16_MAX:
        stage = "encoder" if layer.name.startswith(("encoder", "quant_conv")) else "decoder"
        title = f"{layer.name} puts out {layer.reference_max:.3g}, and f16 ends at 65504"
        return finding(f"fp16-overflow-{stage}", title, layer.name, reference_max=layer.reference_max, **numbers)
    training = causes.in_training(model, layer.name)
    if training is not None:
        title = f"{training} is in training mode, so that {layer.name} gives something else on each call"
        return finding("live-training-mode", title, training, **numbers)
    clauses = list(dict.fromkeys(causes.why(model, layer.name, of_class)))
    how = "puts out NaN or infinity" if layer.non_finite else f"is {layer.relative_rms:.2g} off (rounding: {layer.allowed_rms:.2g})"
    because = (
        f": {'; '.join(clauses[:3])}" if clauses else ": nothing in it is unlike its class, so look at the kernel that runs it"
    )
    return finding("live-layer-differs", f"{layer.name} {how} on its own input{because}", layer.name, why=clauses, **numbers)


def not_run(model: Model, graph: Graph, stages: list[Stage]) -> list[Finding]:
    """What the class runs and the model does not."""
    ran = set().union(*(stage.record.ran for stage in stages))
    missing = [name for name in graph.classes if name not in ran]
    if not missing:
        return []
    first = missing[0]
    method = "encode" if first.startswith(("encoder", "quant_conv")) else "decode"
    clauses = causes.replaced(model, method)
    because = f": {'; '.join(clauses)}" if clauses else ""
    title = f"{first} of the class was not run by {method}(){because}"
    return [finding("live-forward-differs", title, first, not_run=missing, why=clauses)]


def of_whole(model: Model, stage: Stage, autocast: Optional[str], amplified: Callable[[Stage], float]) -> list[Finding]:
    """An `encode` or `decode` whose layers are all right, and which itself is not. `amplified` is asked how much a
    model makes of rounding, where that decides."""
    precision = coarser(model.precision(), autocast or "float32")
    room = allowed(precision, "whole")
    if stage.expected.shape != stage.found.shape:
        title = f"{stage.method}() gives {stage.found.shape}, its class {stage.expected.shape}"
        return [finding("live-forward-differs", title, stage.method)]
    off = distance(stage.expected, stage.found)
    if off.within(room):
        return []
    room = allowed(precision, "whole", amplified(stage))
    if off.within(room):
        return []
    clauses = causes.replaced(model, stage.method)
    because = f": {'; '.join(clauses)}" if clauses else ""
    title = f"{stage.method}() is {off.relative_rms:.2g} off (rounding: {room.relative_rms:.2g}), and no layer in it is{because}"
    numbers: dict[str, Any] = {"relative_rms": off.relative_rms, "allowed_rms": room.relative_rms, "worst": off.worst}
    return [finding("live-forward-differs", title, stage.method, why=clauses, **numbers)]


def of_posterior(model: Model, posterior: Posterior) -> list[Finding]:
    """A distribution that is not what its own moments say."""
    mean, logvar = np.split(posterior.moments, 2, axis=1)
    std = np.exp(0.5 * np.clip(logvar, -30, 20))
    room = allowed(model.precision(), "block")
    parts = [("mode()", mean, posterior.mode), ("std", std, posterior.std)]
    if posterior.draw is not None and posterior.noise is not None:
        # Of the model's own standard deviation, so that one fault has one name.
        parts.append(("sample()", posterior.mode + posterior.std * posterior.noise, posterior.draw))
    for what, expected, found in parts:
        off = distance(expected.astype(np.float32), found)
        if not off.within(room):
            title = f"{what} of the posterior is {off.relative_rms:.2g} off what its moments say"
            return [finding("live-forward-differs", title, "latent_dist", relative_rms=off.relative_rms)]
    return []


def of_weights(weights: WeightsComparison, asked: bool) -> list[Finding]:
    """Weights and config beside those of the checkpoint."""
    found = []
    if weights.changed and not weights.is_of_fewer_bits():
        first = weights.changed[0]
        count = len(weights.changed)
        many = count >= MOST_ARE_OTHERS * weights.compared
        change = f": {first.change}" if first.change else f": {first.relative_difference:.2g} of its size"
        title = f"{first.name} is not that of {weights.against}{change}" + (
            f"; so are {count - 1} more of {weights.compared}" if count > 1 else ""
        )
        names = [each.name for each in weights.changed[:20]]
        layer = first.name.rpartition(".")[0]
        severity = "warning" if many and not asked or weights.is_quantised() else None
        made = finding("live-weights-differ", title, layer, severity, changed=count, compared=weights.compared, names=names)
        found.append(made)
    for field, (in_memory, stored) in weights.config.items():
        title = f"{field} is {in_memory} in memory, and {stored} in {weights.against}"
        found.append(finding("live-config-differs", title, in_memory=in_memory, stored=stored))
    return found
