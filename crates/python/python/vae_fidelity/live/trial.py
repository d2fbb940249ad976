"""Which of the suspects makes a layer compute something else: each is taken back, and the layer run again."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from typing import Any, Callable, Optional

from vae_fidelity.live.clips import without_frames
from vae_fidelity.live.layers import Call, Layer
from vae_fidelity.live.model import Model
from vae_fidelity.live.rounding import Distance, distance
from vae_fidelity.live.suspects import Suspect, suspects
from vae_fidelity.live.trip import untouched


@dataclass(frozen=True)
class Trial:
    """What came of the suspects, each as a clause."""

    causes: list[str]
    """Without these the layer computes what its class does."""
    innocent: list[str]
    """Unlike the class too, and it makes no difference."""
    open: list[str]
    """Unlike the class, and could not be taken back."""
    changes_by_itself: bool
    """Whether the layer, run again as it is, computes what its class does: it gives something else on each call."""

    def because(self, otherwise: Optional[str]) -> str:
        """The end of a sentence; `otherwise` is what explains a layer in which nothing is unlike its class."""
        also = f"; also unlike its class, without making this difference: {'; '.join(self.innocent[:3])}" if self.innocent else ""
        if self.causes:
            return f": {'; '.join(self.causes[:3])}"
        if otherwise is not None:
            return f": {otherwise}{also}"
        if self.changes_by_itself:
            return f": run again on the same input it does not differ, so it changes from call to call{also}"
        if self.open:
            return f", perhaps since {'; '.join(self.open[:3])}{also}"
        if self.innocent:
            return f": look at the kernel that runs it{also}"
        looked_at = "methods, parameters, processors, hooks, and torch's functions and modes"
        return f": nothing that was looked at is unlike its class ({looked_at}), so look at the kernel that runs it"


def tried(model: Model, layer: Layer, call: Optional[Call], of_class: Optional[Any]) -> Trial:
    """Takes back what is unlike the class in `layer`, and runs it on the input of `call`; without one, nothing is tried."""
    found = suspects(model, layer.name, of_class)
    can, cannot = [each for each in found if each.undone], [each.clause for each in found if not each.undone]
    if call is None:
        return Trial([], [], [each.clause for each in found], False)
    room = Distance(layer.allowed_rms, layer.allowed_worst, layer.allowed_gain)

    def is_right(taken_back: list[Suspect]) -> bool:
        return _is_right(model, layer, call, room, taken_back)

    if is_right([]):
        return Trial([], [each.clause for each in found], [], True)
    first = without_frames(call.arguments, call.keywords)
    if first is not None and _is_right(model, layer, Call(*first, call.expected), room, []):
        clause = f"{layer.name} is given frames of an earlier call, which its cache still holds"
        return Trial([clause], [each.clause for each in found], [], False)
    compilers = [each for each in found if each.compiles]
    eagerly = [each for each in compilers if each.undone]
    if len(eagerly) < len(compilers):
        return Trial([], [], [each.clause for each in found], False)
    if eagerly and is_right(eagerly):
        return Trial([each.clause for each in eagerly], [], [], False)

    # All else is tried in the layer's own code.
    def is_right_without(taken_back: list[Suspect]) -> bool:
        return is_right(eagerly + taken_back)

    can = [each for each in can if not each.compiles]
    guilty = _least(can, is_right_without) if can and is_right_without(can) else []
    innocent = [each.clause for each in [*eagerly, *can] if each not in guilty]
    return Trial([each.clause for each in guilty], innocent, [] if guilty else cannot, False)


def _least(found: list[Suspect], is_right: Callable[[list[Suspect]], bool]) -> list[Suspect]:
    """A least part of `found` that is enough, where all of it is (QuickXplain, Junker 2004)."""

    def needed(fixed: list[Suspect], rest: list[Suspect]) -> list[Suspect]:
        if is_right(fixed):
            return []
        if len(rest) == 1:
            return rest
        half = len(rest) // 2
        second = needed(fixed + rest[:half], rest[half:])
        return needed(fixed + second, rest[:half]) + second

    return needed([], found)


def _is_right(model: Model, layer: Layer, call: Call, room: Distance, taken_back: list[Suspect]) -> bool:
    torch = sys.modules["torch"]
    module = model.submodule(layer.name)
    with contextlib.ExitStack() as stack:
        stack.enter_context(untouched(model))
        if layer.autocast is not None:
            device = torch.device(model.device()).type
            stack.enter_context(torch.autocast(device, getattr(torch, layer.autocast)))
        try:
            for suspect in taken_back:
                if suspect.undone is not None:
                    stack.enter_context(suspect.undone())
            made = call.run(module)
        except Exception:
            # What cannot be taken back is no cause that can be shown.
            return False
    return made.shape == call.expected.shape and distance(call.expected, made).within(room)
