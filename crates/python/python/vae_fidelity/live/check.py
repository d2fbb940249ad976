"""Judges a model in memory by one picture."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from typing import Any, Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._pictures import Picture, pixels_of
from vae_fidelity._pipeline import Pipeline
from vae_fidelity._report import Report
from vae_fidelity.live import findings
from vae_fidelity.live.adapters import adapted_layers
from vae_fidelity.live.implementation import OfObject, OfPipeline
from vae_fidelity.live.layers import Layer, is_compiled
from vae_fidelity.live.model import Model
from vae_fidelity.live.pictures import psnr_of, sample_of, taken_sample
from vae_fidelity.live.report import LiveReport, ModelInMemory
from vae_fidelity.live.run import Run
from vae_fidelity.live.trip import decode, encode, untouched
from vae_fidelity.live.weights import Against, Checkpoint, WeightsComparison, checkpoint
from vae_fidelity.reports import Finding

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def check_module(
    module: Any, picture: Picture, *, against: Optional[Against], same_bits: bool, tell: Callable[[str], object], **asked: Any
) -> LiveReport:
    """What `vae_fidelity.check` says of a module; `asked` are its keywords for the picture."""
    model = Model.of(module)
    weights, not_decided = _compared(model, against, tell)
    if model.is_of_clips and weights is None:
        unmet = "one picture meets the last time slice of each kernel, and no time_conv; name what they should be with `against`"
        not_decided.append(f"the weights for later frames: {unmet}")
    found = findings.of_weights(weights, against is not None) if weights is not None else []
    notes = []
    if weights is not None and weights.is_of_fewer_bits():
        notes.append(f"the weights are those of {weights.against}, {weights.others()[0].change}")
    attached = Counter(f"{adapter} {adapter.state()}" for _, adapter in adapted_layers(model.module))
    notes += [f"the {what} on {count} layers, which are judged with it" for what, count in attached.items()]
    tell("loading the weights")
    try:
        pipeline = Pipeline._of_memory(model.source())
    except VaeFidelityError as error:
        if not error.findings:
            raise
        return _report(model, [*map(_with_layer, error.findings), *found], weights, not_decided, notes)
    tell("judging the weights")
    # As the picture is: the model's own trip is compared with the reference's, not with the picture.
    report = pipeline.check(picture, **asked)
    sample = taken_sample(picture, report.seen)
    run = Run(model, pipeline)
    of_model = run.judged(sample, tell)
    bits = _same_bits(model, sample, run) if same_bits else None
    not_decided += run.not_decided
    # What a weight cannot be says more than that it is another.
    impossible = [each for each in report.findings if each.code.startswith("weights-") and each.severity == "error"]
    # A model that was built from another config differs in its layers for that.
    config = [each for each in found if each.code == "live-config-differs"]
    everything = [*config, *of_model, *impossible, *found, *report.findings]
    return _report(
        model, everything, weights, not_decided, [*notes, *run.notes], report, run.layers, run.decoded, bits,
    )  # fmt: skip


def _with_layer(found: Finding) -> Finding:
    """A finding of tensors with the layer of the first, in the words of a model in memory."""
    title = found.title.replace(" not in the files", " not in the model, or not where its class has it")
    remedy = found.remedy.replace("fetch the complete file", "load the weights again")
    names = found.evidence.get("tensors")
    has_name = found.layer is None and isinstance(names, list) and names
    layer = str(names[0]).rpartition(".")[0] if has_name and names else found.layer
    return dataclasses.replace(found, layer=layer, title=title, remedy=remedy)


def check_object(
    given: Any,
    picture: Picture,
    *,
    against: Optional[Against],
    tell: Callable[[str], object],
    width: Optional[int] = None,
    height: Optional[int] = None,
    exif: str = "ignore",
    **asked: Any,
) -> Report:
    """What `vae_fidelity.check` says of an object with encode() and decode(), of which no layer can be seen: the latents
    and the picture that it makes, beside those of the checkpoint `against`."""
    if against is None:
        next = "name what it should be: against=FOLDER, a file, a hub's id, or a model in memory"
        problem = "is none of the classes that are run here, so that its weights and layers cannot be seen"
        raise VaeFidelityError("option", type(given).__name__, problem, next)
    pipeline = against if isinstance(against, Pipeline) else Pipeline(against)
    of_object = OfObject(given)
    it = OfPipeline(pipeline)
    _, sample = sample_of(picture, width, height, exif=exif, multiple_of=it.multiple_of, has_alpha=it.has_alpha)
    tell(f"running {of_object.name}")
    latents = of_object.encode(sample)
    decoded = pixels_of(of_object.decode(latents), alpha=True)
    made: dict[str, Any] = {} if decoded is None else {"decoded_image": decoded}
    tell("judging what it made")
    return pipeline.check(picture, width=width, height=height, exif=exif, latents=latents, latents_scale="raw", **made, **asked)


def _compared(
    model: Model, against: Optional[Against], tell: Callable[[str], object]
) -> tuple[Optional[WeightsComparison], list[str]]:
    origin = checkpoint(model, against)
    if not isinstance(origin, Checkpoint):
        return None, [f"whether the weights are those that they should be: {origin}; name them with `against`"]
    tell("comparing the weights")
    return origin.compared(model), []


def _same_bits(model: Model, sample: Array, run: Run) -> Optional[bool]:
    """Whether a fresh instance of diffusers' class with the same weights gives the same bits on the CPU."""
    torch = sys.modules["torch"]
    if torch.device(model.device()).type != "cpu" or run.of_class is None or run.latents_given is None:
        run.not_decided.append("same bits: that is said only of a model on the CPU whose class can be built")
        return None
    of_class = run.of_class.to_empty(device="cpu").to(model.dtype())
    of_class.load_state_dict({**of_class.state_dict(), **dict(model.tensors())})
    fresh = Model.of(of_class.eval())
    with untouched(fresh):
        encoded, _ = encode(fresh, sample)
        decoded, _ = decode(fresh, run.latents_given)
    assert run.encoded is not None and run.decoded is not None, "the model has run"
    return bool(np.array_equal(encoded, run.encoded) and np.array_equal(decoded, run.decoded))


def _report(
    model: Model,
    found: list[Finding],
    weights: Optional[WeightsComparison],
    not_decided: list[str],
    notes: list[str],
    report: Optional[Report] = None,
    layers: Optional[list[Layer]] = None,
    decoded: Optional[Array] = None,
    bits: Optional[bool] = None,
) -> LiveReport:
    once: dict[str, Finding] = {}
    for each in found:
        once.setdefault(each.code, each)
    picture = pixels_of(decoded)
    psnr, worst = psnr_of(None if report is None else report.picture, picture)
    compiled = [name or "the model" for name, each in model.module.named_modules(remove_duplicate=False) if is_compiled(each)]
    if model.given is not model.module:
        compiled.insert(0, type(model.given).__name__)
    in_memory = ModelInMemory(
        model.name, model.class_name, model.precision(), str(model.device()), bool(model.module.training),
        bool(getattr(model.module, "use_tiling", False)), compiled,
    )  # fmt: skip
    reasons = [f"{each.code}: {each.title}" for each in once.values() if each.severity == "error"]
    # What was asked of the picture and is missed is no finding.
    of_check = [] if report is None else report.verdict_reasons
    reasons += [each for each in of_check if each.partition(":")[0] not in once]
    return LiveReport(
        verdict="fail" if reasons else "pass",
        verdict_reasons=reasons,
        findings=list(once.values()),
        model=in_memory,
        psnr_db=psnr,
        worst_difference=worst,
        same_bits=bits,
        weights=weights,
        not_decided=list(dict.fromkeys(not_decided)),
        notes=list(dict.fromkeys(notes)),
        layers=layers or [],
        check=report,
        picture=picture,
    )
