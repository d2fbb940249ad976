"""The verdict on a ComfyUI VAE."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Union

import torch
import vae_fidelity
from vae_fidelity import VaeFidelityError

from .trip import Trip, pictures_of, through
from .weights import AUTO, Loaded, loaded


@dataclass(frozen=True)
class Judged:
    """What the node gives."""

    passed: bool
    """Whether no error was found; `False` also where nothing could be judged."""
    text: str
    """The report."""
    image: torch.Tensor
    """What came back, (N, height, width, 3) in [0, 1]; black where nothing could be judged."""


def judge(vae: Any, image: Any, *, family: str = AUTO, pictures: int = 1, config: str = "") -> Judged:
    """Judges `vae`, a `comfy.sd.VAE` or an object with its interface, by an IMAGE of ComfyUI.

    Args:
        vae: Its `first_stage_model` is of ComfyUI's classes, or of diffusers'.
        image: (N, height, width, 3 or 4) in [0, 1].
        family: One of `FAMILIES`, or `auto`.
        pictures: How many of the batch are judged.
        config: Path of a `config.json`, or nothing.
    """
    try:
        model = getattr(vae, "first_stage_model", vae)
        taken, notes = pictures_of(vae, image, pictures)
        if _is_of_diffusers(model):
            return _of_diffusers(model, taken, notes)
        return _of_comfyui(vae, model, taken, notes, family, config)
    except VaeFidelityError as error:
        return Judged(False, f"not judged\n{error}", _black(image))


def _of_comfyui(vae: Any, model: Any, pictures: torch.Tensor, notes: list[str], family: str, config: str) -> Judged:
    # Before it runs: a class that is not run here is named, and not given pictures that it may not take.
    weights = loaded(model, family, config)
    dimensions = getattr(vae, "latent_dim", 2)
    if dimensions not in (2, 3):
        next = "connect a VAE for pictures, or one for videos, which are given one frame"
        raise VaeFidelityError("option", "vae", f"its latents have {dimensions} dimensions, those of pictures 2", next)
    trip = through(vae, pictures)
    if getattr(getattr(vae, "patcher", None), "patches", None):
        # They are in the weights from when it has run.
        weights = loaded(model, family, config)
    reports = []
    for at, picture in enumerate(pictures):
        report = _checked(weights, picture, trip, at)
        other = _other_family(report, weights)
        if other:
            weights = Loaded(loaded(model, other).pipeline, (other, *weights.of_same_shapes))
            report = _checked(weights, picture, trip, at)
        reports.append(report)
    if trip.tiled:
        notes.append(
            f"ComfyUI ran out of memory and took tiles for {' and '.join(sorted(trip.tiled))}, which see other colours: what it "
            "made is not compared. The verdict is on the weights; a smaller picture tells more"
        )
    if weights.of_same_shapes:
        first, *rest = dict.fromkeys(weights.of_same_shapes)
        notes.append(
            f"the shapes are those of {', '.join([first, *rest])}, and it is taken for {first}: ComfyUI's VAE scales no "
            "latents, so that no error depends on it"
        )
    head = f"{type(model).__name__} of ComfyUI, {_dtype(vae, model)} on {getattr(vae, 'device', 'cpu')}"
    return Judged(all(each.verdict == "pass" for each in reports), _text(head, notes, reports), trip.decoded)


def _of_diffusers(model: Any, pictures: torch.Tensor, notes: list[str]) -> Judged:
    """Such a model says itself what it is: it is judged as it is in memory, layer by layer."""
    reports = [vae_fidelity.check(model, _sample(picture)) for picture in pictures]
    made = [_of_bytes(report.picture, picture) for report, picture in zip(reports, pictures)]
    text = _text("a model of diffusers", notes, reports)
    return Judged(all(each.verdict == "pass" for each in reports), text, torch.stack(made))


def _checked(weights: Loaded, picture: torch.Tensor, trip: Trip, at: int) -> vae_fidelity.Report:
    asked: dict[str, Any] = {}
    if "encoding" not in trip.tiled:
        asked.update(latents=trip.latents[at : at + 1], latents_scale=trip.latents_scale)
    if not trip.tiled:
        asked.update(decoded_image=_to_bytes(trip.decoded[at]))
    if trip.preprocessed is not None:
        asked.update(preprocessed=trip.preprocessed[at : at + 1])
    return weights.pipeline.check(_sample(picture), progress=_until_cancelled, **asked)


def _other_family(report: vae_fidelity.Report, weights: Loaded) -> str:
    """The family of the same shapes that the latents' spread belongs to, where it was taken for another."""
    for finding in report.findings:
        family = str(finding.evidence.get("family"))
        if finding.code == "wrong-family-values" and family in weights.of_same_shapes[1:]:
            return family
    return ""


def _until_cancelled(step: str) -> None:
    """Stops between two steps where the user has cancelled the run."""
    management = sys.modules.get("comfy.model_management")
    if management is not None:
        management.throw_exception_if_processing_interrupted()


def _text(head: str, notes: list[str], reports: Union[list[vae_fidelity.Report], list[Any]]) -> str:
    found = [each for report in reports for each in report.findings if each.severity != "info"]
    said = dict.fromkeys(
        f"{each.severity:8} {each.code}{f' at {each.layer}' if each.layer else ''}: {each.title}" for each in found
    )
    lines = [f"verdict: {'pass' if all(each.verdict == 'pass' for each in reports) else 'fail'}", *said, head]
    lines += [f"note     {note}" for note in notes]
    for at, report in enumerate(reports):
        lines += [f"\npicture {at + 1} of {len(reports)}" if len(reports) > 1 else "", str(report).rstrip()]
    return "\n".join(lines)


def _is_of_diffusers(model: Any) -> bool:
    # Not by the class's name: ComfyUI has an AutoencoderKL of its own.
    return any(base.__module__.split(".")[0] == "diffusers" for base in type(model).__mro__)


def _dtype(vae: Any, model: Any) -> str:
    dtype = getattr(vae, "vae_dtype", None)
    return str(dtype if dtype is not None else next(model.parameters()).dtype).removeprefix("torch.")


def _sample(picture: torch.Tensor) -> torch.Tensor:
    """As ComfyUI's VAE makes it of a picture: comfy/sd.py, `process_input`."""
    return (picture.movedim(-1, 0) * 2.0 - 1.0)[None]


def _to_bytes(picture: torch.Tensor) -> Any:
    """8-bit pixels, rounded; what is not finite is black, as it is on the screen."""
    finite = torch.nan_to_num(picture, nan=0.0, posinf=1.0, neginf=0.0)
    return (finite.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def _of_bytes(pixels: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(like) if pixels is None else torch.from_numpy(pixels.copy()).float() / 255


def _black(image: Any) -> torch.Tensor:
    shape = tuple(getattr(image, "shape", ()))
    height, width = shape[1:3] if len(shape) == 4 else (64, 64)
    return torch.zeros(1, height, width, 3)
