"""What is wrong with a model in memory, from what was recorded of it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._from_json import from_json
from vae_fidelity.live import suspects
from vae_fidelity.live.layers import Call, Graph, Layer, Record
from vae_fidelity.live.model import Model
from vae_fidelity.live.rounding import allowed, distance
from vae_fidelity.live.trial import tried
from vae_fidelity.live.trip import Posterior, Returned
from vae_fidelity.live.weights import MOST_ARE_OTHERS, TensorChange, WeightsComparison
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


def because(clauses: list[str]) -> str:
    """The end of a sentence."""
    return f": {'; '.join(clauses)}" if clauses else ""


def _is_of_encoder(name: str) -> bool:
    return name.startswith(("encoder", "quant_conv"))


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

    def __init__(self, method: str, layer: Optional[str], error: Exception, record: Optional[Record] = None) -> None:
        super().__init__(method, layer, error)
        self.method, self.layer, self.error = method, layer, error
        # What ran until then.
        self.record = record or Record()


def is_of_model(error: Exception) -> bool:
    """Whether an exception is the model's: where memory ends nothing was judged, and an error of the reference is not."""
    return not isinstance(error, (MemoryError, VaeFidelityError)) and type(error).__name__ != "OutOfMemoryError"


def of_failure(model: Model, failed: ModelFailed) -> Finding:
    """A model that raises an exception, or returns something, as its class does not."""
    if isinstance(failed.error, Returned):
        return finding("live-forward-differs", str(failed.error), failed.method, why=suspects.of_method(model, failed.method))
    said = (str(failed.error).strip().splitlines() or [""])[0]
    where = f" in {failed.layer}" if failed.layer else ""
    dtypes = sorted({str(each.dtype).removeprefix("torch.") for each in model.module.parameters() if each.is_floating_point()})
    mixed = f"; its weights are {' and '.join(dtypes)}" if len(dtypes) > 1 else ""
    why = [] if failed.layer else suspects.of_method(model, failed.method)
    unlike = f"; {'; '.join(why)}" if why else ""
    title = f"{failed.method}() raised {type(failed.error).__name__}{where}: {said}{mixed}{unlike}"
    return finding("live-forward-differs", title, failed.layer or failed.method, dtypes=dtypes, why=why)


def of_layers(model: Model, records: list[Record], of_class: Optional[Any], otherwise: Optional[str]) -> list[Finding]:
    """The first layer of each kind of fault: training mode, autocast, overflow, and everything else, which `otherwise`
    explains where nothing in the layer is unlike its class."""
    found: dict[str, Finding] = {}
    layers = [layer for record in records for layer in record.layers]
    calls = {name: call for record in reversed(records) for name, call in record.calls.items()}
    different = [layer.name for layer in layers if layer.differs]
    for layer in layers:
        if not layer.differs and layer.autocast is None:
            continue
        # What comes after an overflow is its consequence.
        if any(code.startswith("fp16-overflow") for code in found) or "live-layer-differs" in found and layer.differs:
            continue
        made = _of_layer(model, layer, calls.get(layer.name), of_class, otherwise, len(different) - 1)
        if made is not None:
            found.setdefault(made.code, made)
    return list(found.values())


def _of_layer(
    model: Model, layer: Layer, call: Optional[Call], of_class: Optional[Any], otherwise: Optional[str], others: int
) -> Optional[Finding]:
    numbers: dict[str, Any] = {"relative_rms": layer.relative_rms, "allowed_rms": layer.allowed_rms, "worst": layer.worst}
    numbers |= {"allowed_worst": layer.allowed_worst, "gain": layer.gain, "class": layer.class_name, "dtype": layer.dtype}
    if not layer.differs:
        own = allowed(model.precision(), "leaf")
        if layer.autocast == model.precision() or layer.relative_rms <= own.relative_rms:
            return None
        title = f"autocast runs {layer.name} in {layer.autocast}, and its weights are {model.precision()}"
        return finding("live-autocast", title, layer.name, **numbers)
    if layer.non_finite and "float16" in (layer.dtype, layer.autocast) and layer.reference_max > _F16_MAX:
        stage = "encoder" if _is_of_encoder(layer.name) else "decoder"
        title = f"{layer.name} puts out {layer.reference_max:.3g}, and f16 ends at 65504"
        return finding(f"fp16-overflow-{stage}", title, layer.name, reference_max=layer.reference_max, **numbers)
    training = in_training(model, layer.name)
    if training is not None:
        title = f"{training} is in training mode, so that {layer.name} gives something else on each call"
        return finding("live-training-mode", title, training, **numbers)
    trial = tried(model, layer, call, of_class)
    how = f"is {layer.distance.beyond(layer.room(1))} on its own input"
    if layer.problem is not None:
        how = layer.problem
    elif layer.non_finite:
        how = "puts out NaN or infinity where its class does not"
    more = f"; {others} more layers differ, which may follow from it" if others > 0 else ""
    numbers |= {"causes": trial.causes, "innocent": trial.innocent, "not_tried": trial.open, "more_layers": others}
    return finding("live-layer-differs", f"{layer.name} {how}{trial.because(otherwise)}{more}", layer.name, **numbers)


def in_training(model: Model, name: str) -> Optional[str]:
    """The name of what drops values at random or takes statistics of the picture, in the module `name`, since it is
    in training mode."""
    module = model.submodule(name)
    for path, inner in [] if module is None else module.named_modules():
        kinds = {base.__name__ for base in type(inner).__mro__}
        drops = any("Dropout" in kind for kind in kinds) and getattr(inner, "p", 0) > 0
        if inner.training and (drops or "_BatchNorm" in kinds):
            return f"{name}.{path}".strip(".")
    return None


def not_run(model: Model, graph: Graph, stages: list[Stage], of_class: Optional[Any]) -> list[Finding]:
    """What the class runs and the model does not. Whether that is a fault is for what it makes to say: layers are fused,
    and weights used by others than their module."""
    ran = set().union(*(stage.record.ran for stage in stages))
    missing = [name for name in graph.classes if name not in ran]
    if not missing:
        return []
    first = missing[0]
    method = "encode" if _is_of_encoder(first) else "decode"
    around = first.rpartition(".")[0]
    while around and around not in ran:
        around = around.rpartition(".")[0]
    clauses = suspects.of_method(model, method)
    if around:
        clauses = [each.clause for each in suspects.suspects(model, around, of_class)] or clauses
    title = f"{first} of the class was not run by {around or f'{method}()'}{because(clauses[:3])}"
    return [finding("live-forward-differs", title, first, not_run=missing, around=around, why=clauses)]


def of_whole(model: Model, stage: Stage, precision: str, amplified: Callable[[Stage], float]) -> list[Finding]:
    """An `encode` or `decode` whose layers are all right, and which itself is not. `amplified` is asked how much a
    model makes of rounding, where that decides."""
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
    clauses = suspects.of_method(model, stage.method)
    how = f"is {off.beyond(room)}, and no layer in it is"
    title = f"{stage.method}() {how}{because(clauses)}"
    numbers: dict[str, Any] = {"relative_rms": off.relative_rms, "allowed_rms": room.relative_rms, "worst": off.worst}
    return [finding("live-forward-differs", title, stage.method, why=clauses, **numbers)]


def of_posterior(precision: str, posterior: Posterior) -> list[Finding]:
    """A distribution that is not what its own moments say, in a model that rounds as `precision` does."""
    mean, logvar = np.split(posterior.moments, 2, axis=1)
    std = np.exp(0.5 * np.clip(logvar, -30, 20))
    room = allowed(precision, "block")
    clauses = suspects.of_distribution(posterior.distribution)
    parts = [("mode()", mean, posterior.mode), ("std", std, posterior.std)]
    if posterior.draw is not None and posterior.noise is not None:
        # Of the model's own standard deviation, so that one fault has one name.
        parts.append(("sample()", posterior.mode + posterior.std * posterior.noise, posterior.draw))
    for what, expected, found in parts:
        off = distance(expected.astype(np.float32), found)
        if not off.within(room):
            title = f"{what} of the posterior is {off.relative_rms:.2g} off what its moments say{because(clauses)}"
            return [finding("live-forward-differs", title, "latent_dist", relative_rms=off.relative_rms, why=clauses)]
    return []


def of_weights(weights: WeightsComparison, asked: bool) -> list[Finding]:
    """Weights and config beside those of the checkpoint."""
    found = []
    adapted = weights.adapted()
    others = weights.others()
    evidence: dict[str, Any] = {"changed": len(weights.changed), "compared": weights.compared}
    evidence["names"] = [each.name for each in weights.changed[:20]]
    if others and not weights.is_of_fewer_bits():
        first = others[0]
        many = len(others) >= MOST_ARE_OTHERS * weights.compared
        change = f": {first.change}" if first.change else f": {first.relative_difference:.2g} of its size"
        title = f"{first.name} is not that of {weights.against}{change}" + (
            f"; so are {len(others) - 1} more of {weights.compared}" if len(others) > 1 else ""
        )
        title += f"; and {_of_adapters(adapted)}" if adapted else ""
        severity = "warning" if many and not asked or weights.is_quantised() else None
        found.append(finding("live-weights-differ", title, first.name.rpartition(".")[0], severity, **evidence))
    elif adapted:
        layer = adapted[0].name.rpartition(".")[0]
        title = f"{_of_adapters(adapted)}, the first {layer}; without that the weights are those of {weights.against}"
        # Somebody attached it.
        severity = None if asked else "warning"
        remedy = "take it off, with disable_adapters() or unfuse_lora(), or name a model that has it with `against`"
        made = finding("live-weights-differ", title, layer, severity, **evidence)
        found.append(dataclasses.replace(made, remedy=remedy))
    for field, (in_memory, stored) in weights.config.items():
        title = f"{field} is {in_memory} in memory, and {stored} in {weights.against}"
        found.append(finding("live-config-differs", title, in_memory=in_memory, stored=stored))
    return found


def _of_adapters(adapted: list[TensorChange]) -> str:
    """Which adapters change how many layers."""
    layers: dict[str, set[str]] = {}
    for each in adapted:
        for adapter in each.adapters:
            layers.setdefault(f"{adapter} {adapter.state()}", set()).add(each.name.rpartition(".")[0])
    return " and ".join(f"the {what} on {len(names)} layers" for what, names in layers.items())
