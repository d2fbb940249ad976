"""One picture through a model in memory, which is left as it was."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity.live.clips import clip_of, is_given_clips, picture_of
from vae_fidelity.live.layers import array
from vae_fidelity.live.model import Model

Array = npt.NDArray[np.float32]

# Of the draw by which a distribution is tried.
_SEED = 20


@dataclass(frozen=True)
class Posterior:
    """What a model's distribution says of itself, (1, C, h, w) each."""

    moments: Array
    """Mean and log-variance before clamping, (1, 2C, h, w)."""
    mode: Array
    std: Array
    draw: Optional[Array]
    """A draw with a generator of its own; `None` where the distribution takes none."""
    noise: Optional[Array]
    """The numbers that this generator gives."""
    distribution: Any
    """The distribution itself."""


# Of hooks, which torch numbers without one of its own.
_ONE_AT_A_TIME = threading.RLock()


@contextlib.contextmanager
def untouched(model: Model) -> Iterator[None]:
    """No gradients; random state, buffers and what a model remembers of frames are afterwards what they were, also
    after an exception. Other threads that check a model wait."""
    with _ONE_AT_A_TIME:
        yield from _untouched(model)


def _untouched(model: Model) -> Iterator[None]:
    torch = sys.modules["torch"]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.module.buffers() if not buffer.is_meta]
    attributes = vars(model.module).copy()
    lists = [(held, held.copy()) for held in attributes.values() if isinstance(held, list)]
    on_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    devices = list(range(torch.cuda.device_count())) if on_cuda else []
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            yield
        finally:
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
            for held, filled in lists:
                held[:] = filled
            for name in [*vars(model.module)]:
                if name not in attributes:
                    delattr(model.module, name)
            vars(model.module).update(attributes)


class Returned(Exception):
    """The model returned something else than its class does."""


def without_posterior(output: Any) -> Any:
    """The latents of an encoder's output: `latents` of AutoencoderTiny's, `latent` of AutoencoderDC's, else all of it."""
    return getattr(output, "latents", getattr(output, "latent", output))


def encode(model: Model, sample: Array) -> tuple[Array, Optional[Posterior]]:
    """Latents of the mode, (1, C, h, w) and unscaled, and the posterior where the class has one.

    Raises:
        Returned: if there are no latents in what it returns.
    """
    output = model.call("encode", tensor(model, sample))
    distribution = getattr(output, "latent_dist", None)
    if distribution is None:
        wanted = "an output with `latent_dist`, `latents` or `latent`"
        return _returned(model, "encode", without_posterior(output), wanted), None
    draw, noise = _draw(distribution)
    parts = [
        _returned(model, "encode", getattr(distribution, name, None), f"a posterior with `{name}`")
        for name in ("parameters", "std")
    ]
    mode = _returned(model, "encode", distribution.mode(), "a mode()")
    return mode, Posterior(parts[0], mode, parts[1], draw, noise, distribution)


def decode(model: Model, latents: Array) -> tuple[Array, Array]:
    """The decoded sample, (1, 3, H, W), of unscaled latents; and these as the model's dtype has them.

    As pipelines call it: for a tuple.

    Raises:
        Returned: if there is no sample in what it returns.
    """
    given = tensor(model, latents)
    try:
        output = model.call("decode", given, return_dict=False)
    except TypeError:
        output = model.call("decode", given)
    sample = output[0] if isinstance(output, (tuple, list)) and output else getattr(output, "sample", output)
    return _returned(model, "decode", sample, "an output with `sample`"), array(picture_of(given))


def _returned(model: Model, method: str, values: Any, expected: str) -> Array:
    if not hasattr(values, "detach"):
        raise Returned(f"{method}() returned {type(values).__name__}, expected {expected}")
    if model.is_of_clips and values.dim() != 5:
        raise Returned(f"{method}() returned {tuple(values.shape)}, expected a clip, (N, channels, frames, height, width)")
    return array(picture_of(values))


def tensor(model: Model, values: Array, module: Optional[Any] = None) -> Any:
    """Pictures, latents or what lies between, (N, C, H, W), as the model or a `module` in it is given them."""
    torch = sys.modules["torch"]
    made = torch.from_numpy(np.array(values)).to(model.device(), model.dtype())
    return clip_of(made) if model.is_of_clips and (module is None or is_given_clips(module)) else made


def _draw(distribution: Any) -> tuple[Optional[Array], Optional[Array]]:
    torch = sys.modules["torch"]
    mean = distribution.mean

    def generator() -> Any:
        return torch.Generator("cpu").manual_seed(_SEED)

    try:
        draw = distribution.sample(generator=generator())
    except TypeError:
        return None, None
    # As diffusers' randn_tensor draws for a generator of the CPU, on any device.
    noise = torch.randn(mean.shape, generator=generator(), dtype=mean.dtype, device="cpu")
    return array(picture_of(draw)), array(picture_of(noise))
