"""One picture through a model in memory and through the reference."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from typing import Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._pictures import pixels_of
from vae_fidelity._pipeline import Pipeline
from vae_fidelity.live import findings, suspects
from vae_fidelity.live.findings import ModelFailed, Stage, is_of_model
from vae_fidelity.live.layers import Graph, Layer, Record, recorded
from vae_fidelity.live.model import Model
from vae_fidelity.live.pictures import psnr_of
from vae_fidelity.live.rounding import EIGHT_BITS, amplification, coarser, last_place
from vae_fidelity.live.slicing import of_slicing
from vae_fidelity.live.trip import Posterior, decode, encode, untouched
from vae_fidelity.reports import Finding

Array = npt.NDArray[np.float32]

# What is compared as the model runs. Of f32, what goes on between the blocks shows at the end, and the rest is looked
# at where it does; in 16 bits it may be lost in what the end rounds.
_PARTS = ("leaf", "block")
_PARTS_OF_16_BITS = ("leaf", "block", "blocks")
_LARGE = ("blocks", "whole")

_WRITTEN = "the weights were written to while the model ran"


class Run:
    """One picture through the model and through the reference."""

    def __init__(self, model: Model, pipeline: Pipeline) -> None:
        self.model = model
        self.reference = _native.Reference(pipeline._native)
        self.graph = Graph(dict(self.reference.modules()))
        self.of_class = suspects.fresh(model)
        self.not_decided: list[str] = []
        self.notes: list[str] = []
        self.layers: list[Layer] = []
        self.is_written = False
        self.sample: Optional[Array] = None
        self.latents_given: Optional[Array] = None
        self._in_bfloat16: Optional[_native.Reference] = None
        self.encoded: Optional[Array] = None
        self.decoded: Optional[Array] = None
        if self.of_class is None:
            self.not_decided.append("what is unlike the class: it could not be built from the config")

    def judged(self, sample: Array, tell: Callable[[str], object]) -> list[Finding]:
        """What is wrong with the model."""
        try:
            found = self._judged(sample, tell)
        except ModelFailed as failed:
            # What was wrong before it may be why.
            before = findings.of_layers(self.model, [failed.record], self.of_class, None)
            self.layers = failed.record.layers
            found = [*before, findings.of_failure(self.model, failed)]
        return [self._with_writer(made) for made in found]

    def _with_writer(self, made: Finding) -> Finding:
        """A difference of layers, which is none that can be judged where another thread writes the weights."""
        if not self.is_written or made.code not in ("live-layer-differs", "live-forward-differs"):
            return made
        if threading.active_count() == 1:
            return made
        unsure = f"its layers: {_WRITTEN}, perhaps by another thread; check it while nothing trains it"
        if unsure not in self.not_decided:
            self.not_decided.append(unsure)
        return dataclasses.replace(made, severity="warning")

    def _judged(self, sample: Array, tell: Callable[[str], object]) -> list[Finding]:
        self.sample = sample
        parts = _PARTS if last_place(self.model.precision()) < last_place("float16") else _PARTS_OF_16_BITS
        tell("running the reference")
        moments, _, latents = self.reference.encode(sample)
        stages, posterior = self._trip(sample, moments, latents, parts, tell)
        compiled = [name for stage in stages for name in stage.record.compiled]
        self.notes += [f"{name} is compiled, and was compared as a whole" for name in compiled]
        tiled = self._tiled(sample)
        found = self._of_layers(stages)
        autocast = next((layer.autocast for stage in stages for layer in stage.record.layers if layer.autocast), None)
        precision = coarser(self.model.precision(), autocast or "float32")
        wholes: list[Finding] = []
        for stage in [] if tiled else stages:
            of_stage = coarser(precision, EIGHT_BITS) if self._held_in(stage) else precision
            wholes += findings.of_whole(self.model, stage, of_stage, self._amplified)
        missing = findings.not_run(self.model, self.graph, stages, self.of_class)
        if missing and not wholes and not _has_error(found):
            self.notes.append(f"{missing[0].title}; what it computes is the same")
            missing = []
        if missing or wholes and not _has_error(found):
            # Between the blocks: each larger module is compared as well.
            again, _ = self._trip(sample, moments, latents, tuple(each for each in _LARGE if each not in parts), tell)
            for stage, other in zip(stages, again):
                stage.record.add(other.record)
            found = self._of_layers(stages)
        # What was not run in a layer that differs follows from what is wrong with the layer.
        named = {made.layer for made in found if made.severity == "error"}
        missing = [made for made in missing if made.evidence["around"] not in named]
        explained = _has_error([*found, *missing])
        found = [*missing, *found, *([] if explained else wholes)]
        if posterior is not None and not tiled and not explained:
            found += findings.of_posterior(precision, posterior)
            if posterior.draw is None:
                self.not_decided.append("the posterior's draw: its sample() takes no generator")
        if tiled:
            found.append(self._tiling(stages[-1]))
        if getattr(self.model.module, "use_slicing", False) and not _has_error(found):
            assert self.latents_given is not None, "the model has run"
            tell("running the model: two pictures, with slicing")
            found += of_slicing(self.model, precision, sample, self.latents_given)
        found += self._of_training(found)
        self.layers = [layer for stage in stages for layer in stage.record.layers]
        if held := [name for stage in stages for name in self._held_in(stage)]:
            kinds = " and ".join(dict.fromkeys(held))
            self.notes.append(f"{len(held)} layers round as 8 bits do, since weights in them are held in {kinds}")
        return found

    def _held_in(self, stage: Stage) -> list[str]:
        return [layer.held_in for layer in stage.record.layers if layer.held_in is not None]

    def _of_training(self, found: list[Finding]) -> list[Finding]:
        if not self.model.module.training or any(made.code == "live-training-mode" for made in found):
            return []
        # What lies in the halves runs; FLUX.2's batch norm keeps statistics, and does not.
        halves = [name for name in self.graph.classes if "." not in name]
        name = next(filter(None, (findings.in_training(self.model, half) for half in halves)), None)
        if name is not None:
            return [findings.finding("live-training-mode", f"{name} is in training mode", name)]
        self.notes.append("the model is in training mode, in which nothing that runs computes otherwise")
        return []

    def _trip(
        self, sample: Array, moments: Optional[Array], latents: Array, parts: tuple[str, ...], tell: Callable[[str], object]
    ) -> tuple[list[Stage], Optional[Posterior]]:
        versions = _versions(self.model)
        with untouched(self.model):
            tell("running the model: encode")
            with self._recorded(parts, "encode") as encoding:
                mode, posterior = encode(self.model, sample)
            tell("running the model: decode")
            with self._recorded(parts, "decode") as decoding:
                # Its own latents, so that the picture is what its user gets; where they are of no use, others.
                is_sound = mode.shape == latents.shape and bool(np.isfinite(mode).all())
                decoded, self.latents_given = decode(self.model, mode if is_sound else latents)
        if versions != _versions(self.model):
            self.is_written = True
            self.notes.append(f"{_WRITTEN}: layers may differ for that alone")
        self.encoded, self.decoded = mode, decoded
        tell("running the reference on the same latents")
        expected = self.reference.decode(self.latents_given)
        encoded = (latents, mode) if posterior is None or moments is None else (moments, posterior.moments)
        stages = [Stage("encode", encoding, *encoded), Stage("decode", decoding, expected, decoded)]
        for stage in stages:
            stage.record.layers[:] = [self._with_room(layer, stage) for layer in stage.record.layers]
        return stages, posterior

    @contextlib.contextmanager
    def _recorded(self, parts: tuple[str, ...], method: str) -> Iterator[Record]:
        with recorded(self.model, self.reference, self.graph, parts, method) as record:
            try:
                yield record
            except Exception as error:
                if not is_of_model(error):
                    raise
                raise ModelFailed(method, record.inside[-1][0] if record.inside else None, error, record) from error

    def _amplified(self, stage: Stage) -> float:
        if self._in_bfloat16 is None:
            self._in_bfloat16 = _native.Reference(Pipeline._of_memory(self.model.source(), dtype="bf16")._native)
        assert self.sample is not None and self.latents_given is not None, "the model has run"
        if stage.method == "decode":
            return amplification(stage.expected, self._in_bfloat16.decode(self.latents_given))
        moments, _, latents = self._in_bfloat16.encode(self.sample)
        return amplification(stage.expected, latents if moments is None else moments)

    def _of_layers(self, stages: list[Stage]) -> list[Finding]:
        otherwise = _WRITTEN if self.is_written else None
        return findings.of_layers(self.model, [stage.record for stage in stages], self.of_class, otherwise)

    def _with_room(self, layer: Layer, stage: Stage) -> Layer:
        """A large module with room for what the model makes of rounding, where that decides."""
        if not layer.differs or self.graph.part(layer.name) not in _LARGE:
            return layer
        room = layer.room(self._amplified(stage))
        return dataclasses.replace(layer, allowed_rms=room.relative_rms, allowed_worst=room.worst, allowed_gain=room.gain)

    def _tiled(self, sample: Array) -> bool:
        if not getattr(self.model.module, "use_tiling", False):
            return False
        size = self.model.tile_size()
        if size is None or all(side <= most for side, most in zip(sample.shape[-2:], size)):
            self.notes.append(f"tiling is on, and a picture of this size is one tile (of {_shown(size)})")
            return False
        return True

    def _tiling(self, decoded: Stage) -> Finding:
        size = self.model.tile_size()
        psnr, worst = psnr_of(pixels_of(decoded.expected), pixels_of(decoded.found))
        apart = "" if psnr is None else f", {psnr:.1f} dB from the picture that is decoded as a whole"
        self.not_decided.append("encode() and decode() as a whole: they run in tiles; turn tiling off for that")
        title = f"tiling is on: this picture is made of tiles of {_shown(size)} pixels{apart}"
        return findings.finding("live-tiling", title, psnr_db=psnr, worst_difference=worst, tile_size=size)


def _shown(size: Optional[tuple[int, int]]) -> str:
    """Rows and columns of a tile, in words; one number where they are as many."""
    return "unknown size" if size is None else f"{size[0]}" if size[0] == size[1] else f"{size[1]} x {size[0]}"


def _versions(model: Model) -> list[Optional[int]]:
    """How often each weight was written to; tensors of inference mode do not count that."""
    return [None if each.is_inference() else each._version for each in model.module.parameters()]


def _has_error(found: list[Finding]) -> bool:
    return any(made.severity == "error" for made in found)
