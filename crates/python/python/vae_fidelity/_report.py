"""One picture's report, with the pictures and tensors that it was made from."""

from __future__ import annotations

import html
import json
import os
from functools import cached_property
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._from_json import from_json, with_behind
from vae_fidelity.reports import CheckReport, DecodeReport


class Decoded(DecodeReport):
    """What `decode` says of one picture's latents, and what was decoded."""

    _text: str
    _json: str
    picture: Optional[npt.NDArray[np.uint8]]
    """What was decoded, (height, width, 3) in 8 bits, 4 in RGBA; `None` in bf16, and where nothing could be."""
    decoded_array: Optional[npt.NDArray[np.float32]]
    """The decoded sample before clamping, (1, 3, height, width); `decoded` describes it."""

    @classmethod
    def _of(
        cls,
        report: str,
        text: str,
        picture: Optional[npt.NDArray[np.uint8]],
        decoded: Optional[npt.NDArray[np.float32]],
    ) -> Decoded:
        return with_behind(cls, report, _text=text, _json=report, picture=picture, decoded_array=decoded)

    def to_json(self) -> str:
        """The line that `vae-fidelity decode --json` prints."""
        return self._json

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<Decoded verdict={self.verdict!r}, findings={[finding.code for finding in self.findings]!r}>"


class Report(CheckReport):
    """What `check` says of one picture: everything of the command's JSON, and the arrays behind it.

    A pickled one comes back as the `CheckReport` that it is, without arrays and pages.
    """

    _checked: _native.Checked
    _call: str

    @classmethod
    def _of(cls, checked: _native.Checked, call: str) -> Report:
        return with_behind(cls, checked.json(), _checked=checked, _call=call)

    def __reduce__(self) -> tuple[Any, ...]:
        return _without_arrays, (self.to_json(),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Report:
        # Nothing of it changes.
        return self

    @cached_property
    def picture(self) -> Optional[npt.NDArray[np.uint8]]:
        """What came back, (height, width, 3) in 8 bits, 4 in RGBA; `None` in bf16, which has no picture."""
        return self._checked.picture()

    @cached_property
    def seen(self) -> npt.NDArray[np.uint8]:
        """What the VAE saw, (height, width, 3) in 8 bits, 4 in RGBA."""
        return self._checked.seen()

    @property
    def latents_array(self) -> npt.NDArray[np.float32]:
        """Scaled latents, (1, channels, height, width), not to be written to; `latents` describes them."""
        return self._tensor("latents")

    @property
    def moments_array(self) -> Optional[npt.NDArray[np.float32]]:
        """Mean and log-variance before clamping, (1, 2 channels, height, width), of classes that have a
        posterior."""
        return self._checked.tensor("moments")

    @property
    def noise_array(self) -> Optional[npt.NDArray[np.float32]]:
        """What a draw was made with, (1, channels, height, width); `None` for the mode."""
        return self._checked.tensor("noise")

    @property
    def decoded_array(self) -> npt.NDArray[np.float32]:
        """The decoded sample before clamping, (1, 3, height, width); `decoded` describes it."""
        return self._tensor("decoded")

    @cached_property
    def clip_pictures(self) -> Optional[npt.NDArray[np.uint8]]:
        """What came back of a clip, (frames, height, width, 3) in 8 bits, 4 in RGBA; `None` without `frames`, and in
        bf16."""
        return self._checked.clip_pictures()

    @property
    def clip_latents_array(self) -> Optional[npt.NDArray[np.float32]]:
        """Scaled latents of a clip, (latent frames, channels, height, width): `clip.latents` describes them."""
        return self._checked.tensor("clip_latents")

    @property
    def clip_moments_array(self) -> Optional[npt.NDArray[np.float32]]:
        """Mean and log-variance of a clip before clamping, (latent frames, 2 channels, height, width)."""
        return self._checked.tensor("clip_moments")

    @property
    def clip_noise_array(self) -> Optional[npt.NDArray[np.float32]]:
        """What a clip's draw was made with, (latent frames, channels, height, width); `None` for the mode."""
        return self._checked.tensor("clip_noise")

    @property
    def clip_decoded_array(self) -> Optional[npt.NDArray[np.float32]]:
        """The decoded frames of a clip before clamping, (frames, 3, height, width): `clip.decoded` describes them."""
        return self._checked.tensor("clip_decoded")

    def _tensor(self, name: str) -> npt.NDArray[np.float32]:
        tensor = self._checked.tensor(name)
        assert tensor is not None, "every run has it"
        return tensor

    def to_json(self) -> str:
        """The line that `vae-fidelity check --json` prints."""
        return self._checked.json()

    def to_dict(self) -> dict[str, Any]:
        """The same as `json.loads` gives it."""
        report: dict[str, Any] = json.loads(self.to_json())
        return report

    def to_html(self, path: Union[str, os.PathLike[str], None] = None) -> str:
        """The report as a page for a browser, one file that loads nothing: pictures, latents, layers, findings.

        The model runs once more for the layers.

        Args:
            path: Where it is written as well; a file that is there is replaced whole.
        """
        return self._checked.html(self._call, None if path is None else os.fspath(path))

    def __str__(self) -> str:
        return self._checked.text()

    def __repr__(self) -> str:
        psnr = self.metrics.psnr_db if self.metrics else None
        parts = [f"verdict={self.verdict!r}"]
        parts += [f"psnr_db={psnr:.2f}"] if psnr is not None else []
        parts += [f"findings={[finding.code for finding in self.findings]!r}", f"input={self.input.path!r}"]
        return f"<Report {', '.join(parts)}>"

    def _repr_html_(self) -> str:
        page = html.escape(self.to_html(), quote=True)
        # A frame of its own: the page's style is not the notebook's.
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 640px; border: 0"></iframe>'


def _without_arrays(report: str) -> CheckReport:
    return from_json(CheckReport, json.loads(report))
