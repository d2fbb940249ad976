"""What is said of a model in memory."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from dataclasses import dataclass, field
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity._report import Report
from vae_fidelity.live.layers import Layer
from vae_fidelity.live.weights import WeightsComparison
from vae_fidelity.reports import Finding


@dataclass(frozen=True)
class ModelInMemory:
    """A model as it was when it ran."""

    name: str
    """Its class, and diffusers' where that is another."""
    class_name: str
    """diffusers' class."""
    dtype: str
    """What it computes in."""
    device: str
    """Where."""
    training: bool
    """Whether it is in training mode."""
    tiling: bool
    """Whether `use_tiling` is set."""
    compiled: list[str]
    """Modules that `torch.compile` was applied to."""


@dataclass(frozen=True)
class LiveReport:
    """What `check` says of a model in memory and one picture."""

    verdict: str
    """`pass`, or `fail` where `verdict_reasons` say why."""
    verdict_reasons: list[str]
    """Why it failed: errors, and what was asked of the picture and missed; empty for a pass."""
    findings: list[Finding]
    """What is wrong, the nearest to the cause first."""
    model: ModelInMemory
    """What ran."""
    psnr_db: Optional[float]
    """PSNR of the model's picture beside that of the same weights on this package's engine, in dB; infinity where
    they are equal, `None` where there is none."""
    worst_difference: Optional[int]
    """Largest difference of an 8-bit value between these two pictures."""
    same_bits: Optional[bool]
    """Whether latents and decoded sample have the bits of a fresh instance of diffusers' own class on the CPU;
    `None` where that was not asked."""
    weights: Optional[WeightsComparison]
    """The weights beside those that they should be; `None` where there was nothing to compare with."""
    not_decided: list[str]
    """What could not be decided, and what would decide it."""
    notes: list[str]
    """What a reader has to know."""
    layers: list[Layer] = field(repr=False)
    """Each layer beside the reference on the same input, in the order in which they finished."""
    check: Optional[Report] = field(repr=False)
    """What `check` says of the same weights on this package's engine; `None` where they cannot be loaded."""
    picture: Optional[npt.NDArray[np.uint8]] = field(repr=False, compare=False)
    """What the model decoded, (height, width, 3) in 8 bits; `None` where it has no finite picture."""

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, without pictures."""
        made = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        del made["picture"]
        made["check"] = None if self.check is None else self.check.to_dict()
        values: dict[str, Any] = plain(made)
        return values

    def to_json(self) -> str:
        """The same as JSON; NaN and infinity as strings."""
        return json.dumps(self.to_dict())

    def __str__(self) -> str:
        lines = [f"{self.model.name}: {self.model.dtype} on {self.model.device}"]
        for each in self.findings:
            where = f" at {each.layer}" if each.layer else ""
            lines += [f"{each.severity:8} {each.code}{where}", f"         {each.title}", f"         next: {each.remedy}"]
        if self.psnr_db is not None:
            same = (
                "the same picture"
                if math.isinf(self.psnr_db)
                else f"PSNR {self.psnr_db:.2f} dB, worst {self.worst_difference} of 255"
            )
            lines.append(f"beside the same weights on this engine: {same}")
        lines += [
            f"missed   {each}"
            for each in self.verdict_reasons
            if each.partition(":")[0] not in {found.code for found in self.findings}
        ]
        lines += [f"note     {each}" for each in self.notes]
        lines += [f"not decided: {each}" for each in self.not_decided]
        return "\n".join([*lines, f"verdict  {self.verdict}"])

    def __repr__(self) -> str:
        codes = [f"{each.code}@{each.layer}" if each.layer else each.code for each in self.findings]
        return f"<LiveReport verdict={self.verdict!r}, findings={codes!r}, model={self.model.name!r}>"

    def _repr_html_(self) -> str:
        said = f"<pre>{html.escape(str(self))}</pre>"
        different = [layer for layer in self.layers if layer.differs]
        rows = "".join(
            f"<tr><td>{html.escape(layer.name)}</td><td>{html.escape(layer.class_name)}</td>"
            f"<td>{layer.relative_rms:.2g}</td><td>{layer.allowed_rms:.2g}</td></tr>"
            for layer in different[:10]
        )
        head = "<tr><th>layer</th><th>class</th><th>difference</th><th>rounding</th></tr>"
        table = f"<table>{head}{rows}</table>" if rows else ""
        return said + table + ("" if self.check is None else self.check._repr_html_())


def plain(value: Any) -> Any:
    """`value` as JSON has it; NaN and infinity as strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
