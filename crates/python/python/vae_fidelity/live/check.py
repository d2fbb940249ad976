"""Judges a model in memory by one picture."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
from typing import Any, Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity._pictures import Picture, given
from vae_fidelity._pipeline import Pipeline
from vae_fidelity._report import Report
from vae_fidelity.live import causes, findings
from vae_fidelity.live.findings import Stage
from vae_fidelity.live.layers import Graph, Layer, is_compiled, recorded
from vae_fidelity.live.model import Model
from vae_fidelity.live.report import LiveReport, ModelInMemory
from vae_fidelity.live.rounding import amplification
from vae_fidelity.live.trip import Posterior, decode, encode, untouched
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
    found = findings.of_weights(weights, against is not None) if weights is not None else []
    notes = []
    if weights is not None and weights.changed and weights.is_of_fewer_bits():
        notes.append(f"the weights are those of {weights.against}, {weights.changed[0].change}")
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
    sample = _sample(picture, report)
    run = _Run(model, pipeline)
    of_model = run.judged(sample, tell)
    bits = _same_bits(model, sample, run.latents_given, run) if same_bits else None
    not_decided += run.not_decided
    # What a weight cannot be says more than that it is another.
    impossible = [each for each in report.findings if each.code.startswith("weights-") and each.severity == "error"]
    everything = [*of_model, *impossible, *found, *report.findings]
    return _report(
        model, everything, weights, not_decided, [*notes, *run.notes], report, run.layers, run.decoded, bits,
    )  # fmt: skip


class _Run:
    """One picture through the model and through the reference."""

    def __init__(self, model: Model, pipeline: Pipeline) -> None:
        self.model = model
        self.reference = _native.Reference(pipeline._native)
        self.graph = Graph(self.reference)
        self.of_class = causes.fresh(model)
        self.not_decided: list[str] = []
        self.notes: list[str] = []
        self.layers: list[Layer] = []
        self.sample: Optional[Array] = None
        self.latents_given: Optional[Array] = None
        self._in_bfloat16: Optional[_native.Reference] = None
        self.encoded: Optional[Array] = None
        self.decoded: Optional[Array] = None
        if self.of_class is None:
            self.not_decided.append("what is unlike the class: it could not be built from the config")

    def judged(self, sample: Array, tell: Callable[[str], object]) -> list[Finding]:
        """What is wrong with the model."""
        self.sample = sample
        tell("running the reference")
        moments, _, latents = self.reference.encode(sample)
        stages, posterior = self._trip(sample, moments, latents, ("leaf", "block"), tell)
        tiled = self._tiled(sample)
        found = self._of_layers(stages)
        autocast = next((layer.autocast for layer in self.layers if layer.autocast), None)
        missing = findings.not_run(self.model, self.graph, stages)
        wholes = (
            [] if tiled else [made for stage in stages for made in findings.of_whole(self.model, stage, autocast, self._amplified)]
        )
        if wholes and not found and not missing:
            # Between the blocks: each larger module is compared as well.
            again, _ = self._trip(sample, moments, latents, ("whole",), tell)
            found = self._of_layers(again)
        explained = any(made.severity == "error" for made in [*found, *missing])
        found = [*missing, *found, *([] if explained else wholes)]
        if posterior is not None and not tiled and not explained:
            found += findings.of_posterior(self.model, posterior)
            if posterior.draw is None:
                self.not_decided.append("the posterior's draw: its sample() takes no generator")
        if tiled:
            found.append(self._tiling(stages[-1]))
        if self.model.module.training and not any(made.code == "live-training-mode" for made in found):
            # What lies in the halves runs; FLUX.2's batch norm keeps statistics, and does not.
            halves = [name for name in self.graph.classes if "." not in name]
            name = next(filter(None, (causes.in_training(self.model, half) for half in halves)), None)
            if name is not None:
                found.append(findings.finding("live-training-mode", f"{name} is in training mode", name))
            else:
                self.notes.append("the model is in training mode, in which nothing that runs computes otherwise")
        return found

    def _trip(
        self, sample: Array, moments: Optional[Array], latents: Array, parts: tuple[str, ...], tell: Callable[[str], object]
    ) -> tuple[list[Stage], Optional[Posterior]]:
        with untouched(self.model):
            tell("running the model: encode")
            with recorded(self.model, self.graph, parts) as encoding:
                mode, posterior = encode(self.model, sample)
            tell("running the model: decode")
            with recorded(self.model, self.graph, parts) as decoding:
                # Its own latents, so that the picture is what its user gets; where they are of no use, others.
                is_sound = mode.shape == latents.shape and bool(np.isfinite(mode).all())
                decoded, self.latents_given = decode(self.model, mode if is_sound else latents)
        self.encoded, self.decoded = mode, decoded
        tell("running the reference on the same latents")
        expected = self.reference.decode(self.latents_given)
        encoded = (latents, mode) if posterior is None or moments is None else (moments, posterior.moments)
        stages = [Stage("encode", encoding, *encoded), Stage("decode", decoding, expected, decoded)]
        for stage in stages:
            stage.record.layers[:] = [self._with_room(layer, stage) for layer in stage.record.layers]
            self.layers += stage.record.layers
        return stages, posterior

    def _amplified(self, stage: Stage) -> float:
        if self._in_bfloat16 is None:
            self._in_bfloat16 = _native.Reference(Pipeline._of_memory(self.model.source(), dtype="bf16")._native)
        assert self.sample is not None and self.latents_given is not None, "the model has run"
        if stage.method == "decode":
            return amplification(stage.expected, self._in_bfloat16.decode(self.latents_given))
        moments, _, latents = self._in_bfloat16.encode(self.sample)
        return amplification(stage.expected, latents if moments is None else moments)

    def _of_layers(self, stages: list[Stage]) -> list[Finding]:
        layers = [layer for stage in stages for layer in stage.record.layers]
        return findings.of_layers(self.model, layers, self.of_class)

    def _with_room(self, layer: Layer, stage: Stage) -> Layer:
        """A large module with room for what the model makes of rounding, where that decides."""
        if not layer.differs or self.graph.part(layer.name) != "whole":
            return layer
        room = layer.room(self._amplified(stage))
        return dataclasses.replace(layer, allowed_rms=room.relative_rms, allowed_worst=room.worst)

    def _tiled(self, sample: Array) -> bool:
        module = self.model.module
        size = getattr(module, "tile_sample_min_size", None)
        if not getattr(module, "use_tiling", False):
            return False
        if not isinstance(size, int) or max(sample.shape[-2:]) <= size:
            self.notes.append(f"tiling is on, and a picture of this size is one tile (of {size})")
            return False
        return True

    def _tiling(self, decoded: Stage) -> Finding:
        size = self.model.module.tile_sample_min_size
        psnr, worst = _psnr(_pixels(decoded.expected), _pixels(decoded.found))
        apart = "" if psnr is None else f", {psnr:.1f} dB from the picture that is decoded as a whole"
        self.not_decided.append("encode() and decode() as a whole: they run in tiles; turn tiling off for that")
        title = f"tiling is on: this picture is made of tiles of {size} pixels{apart}"
        return findings.finding("live-tiling", title, psnr_db=psnr, worst_difference=worst, tile_sample_min_size=size)


def _with_layer(found: Finding) -> Finding:
    """A finding of tensors with the layer of the first."""
    names = found.evidence.get("tensors")
    if found.layer is not None or not isinstance(names, list) or not names:
        return found
    return dataclasses.replace(found, layer=str(names[0]).rpartition(".")[0])


def _compared(
    model: Model, against: Optional[Against], tell: Callable[[str], object]
) -> tuple[Optional[WeightsComparison], list[str]]:
    origin = checkpoint(model, against)
    if not isinstance(origin, Checkpoint):
        return None, [f"whether the weights are those that they should be: {origin}; name them with `against`"]
    tell("comparing the weights")
    return origin.compared(model), []


def _sample(picture: Picture, report: Report) -> Array:
    """What the encoder is given: the sample itself, or the picture as the reference saw it."""
    values, _, _ = given(picture)
    if isinstance(values, np.ndarray) and values.dtype == np.float32:
        return np.asarray(values, np.float32)
    pixels = np.ascontiguousarray(report.seen.transpose(2, 0, 1)[None])
    unit: Array = pixels.astype(np.float32) / np.float32(255)
    return np.float32(2) * unit - np.float32(1)


def _same_bits(model: Model, sample: Array, latents: Optional[Array], run: _Run) -> Optional[bool]:
    """Whether a fresh instance of diffusers' class with the same weights gives the same bits on the CPU."""
    torch = sys.modules["torch"]
    if torch.device(model.device()).type != "cpu" or run.of_class is None or latents is None:
        run.not_decided.append("same bits: that is said only of a model on the CPU whose class can be built")
        return None
    of_class = run.of_class.to_empty(device="cpu").to(model.dtype())
    of_class.load_state_dict({**of_class.state_dict(), **dict(model.tensors())})
    fresh = Model.of(of_class.eval())
    with untouched(fresh):
        encoded, _ = encode(fresh, sample)
        decoded, _ = decode(fresh, latents)
    assert run.encoded is not None and run.decoded is not None, "the model has run"
    return bool(np.array_equal(encoded, run.encoded) and np.array_equal(decoded, run.decoded))


def _psnr(a: Optional[Pixels], b: Optional[Pixels]) -> tuple[Optional[float], Optional[int]]:
    """PSNR in dB and largest difference of two pictures; `None` where one is not there or of another size."""
    if a is None or b is None or a.shape != b.shape:
        return None, None
    off = a.astype(np.int64) - b
    square = float(np.mean(off.astype(np.float64) ** 2))
    return (math.inf if square == 0 else 10 * math.log10(255**2 / square)), int(np.abs(off).max())


def _pixels(sample: Optional[Array]) -> Optional[Pixels]:
    """A decoded sample as 8-bit pixels, (height, width, 3); `None` where it is not finite."""
    if sample is None or not np.isfinite(sample).all():
        return None
    unit = np.clip(sample / 2 + 0.5, 0, 1)[0].transpose(1, 2, 0)
    pixels: Pixels = np.rint(unit * 255).astype(np.uint8)
    return pixels


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
    picture = _pixels(decoded)
    psnr, worst = _psnr(None if report is None else report.picture, picture)
    compiled = [name or "the model" for name, each in model.module.named_modules(remove_duplicate=False) if is_compiled(each)]
    with contextlib.suppress(AttributeError):
        if model.given is not model.module:
            compiled.insert(0, type(model.given).__name__)
    in_memory = ModelInMemory(
        model.name, model.class_name, model.precision(), str(model.device()), bool(model.module.training),
        bool(getattr(model.module, "use_tiling", False)), compiled,
    )  # fmt: skip
    verdict = "fail" if any(each.severity == "error" for each in once.values()) else "pass"
    return LiveReport(
        verdict=verdict, findings=list(once.values()), model=in_memory, psnr_db=psnr, worst_difference=worst,
        same_bits=bits, weights=weights, not_decided=not_decided, notes=notes, layers=layers or [], check=report,
        picture=picture,
    )  # fmt: skip
