"""Clips of one frame, which models of videos are given in place of pictures: `AutoencoderKLWan` and its like.

Clips (N, C, T, H, W) go from layer to layer there, and beside them a list into which each layer over time writes the
last frames that it saw, and a list of one number, the layer whose turn it is.
"""

from __future__ import annotations

from typing import Any, Optional

from vae_fidelity.live.model import unwrapped

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module is called with."""


def clip_of(picture: Any) -> Any:
    """A tensor (N, C, H, W) as a clip of one frame."""
    return picture.unsqueeze(2)


def picture_of(tensor: Any) -> Any:
    """A clip of one frame as the picture; all else as it is."""
    return tensor.squeeze(2) if tensor.dim() == 5 else tensor


def is_given_clips(module: Any) -> bool:
    """Whether a module of such a model is given clips: torch's own layers, and norms of pictures, are given frames."""
    module = unwrapped(module)
    gamma = getattr(module, "gamma", None)
    return not type(module).__module__.startswith("torch.nn.") if gamma is None else gamma.dim() == 4


def kept(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Arguments:
    """The same, whatever is written into its lists later."""
    return tuple(map(_kept, arguments)), {name: _kept(value) for name, value in keywords.items()}


def without_frames(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Optional[Arguments]:
    """The same call at the beginning of a clip, where nothing is remembered; `None` where nothing is."""
    input, *beside = *arguments, *keywords.values()
    if not any(map(_holds_frames, beside)):
        return None

    def forgotten(value: Any) -> Any:
        if value is input or not _holds_frames(value):
            return value
        return [None] * len(value) if isinstance(value, list) else None

    return tuple(map(forgotten, arguments)), {name: forgotten(value) for name, value in keywords.items()}


def _kept(value: Any) -> Any:
    return value.copy() if isinstance(value, list) else value


def _holds_frames(value: Any) -> bool:
    return hasattr(value, "detach") or isinstance(value, list) and any(hasattr(each, "detach") for each in value)
