"""How a long call shows that it goes on."""

from __future__ import annotations

import importlib
from typing import Any, Callable, Optional, Union

Progress = Union[bool, Callable[[str], object]]


class Shown:
    """The callback for the extension, and tqdm's bar while it is asked for."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar: Any = None

    def __enter__(self) -> Optional[Callable[[str], object]]:
        if callable(self._progress):
            return self._progress
        if not self._progress:
            return None
        try:
            tqdm: Any = importlib.import_module("tqdm.auto").tqdm
        except ImportError as error:
            raise ImportError("progress=True needs tqdm: pip install tqdm, or give a function") from error
        self._bar = tqdm(bar_format="{desc} {elapsed}", leave=False)
        show: Callable[[str], object] = self._bar.set_description_str
        return show

    def __exit__(self, *raised: object) -> None:
        if self._bar is not None:
            self._bar.close()
