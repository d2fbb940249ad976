"""One picture through a model in memory, which is left as it was."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import numpy.typing as npt

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


@contextlib.contextmanager
def untouched(model: Model) -> Iterator[None]:
    """No gradients; random state and buffers are afterwards what they were, also after an exception."""
    torch = sys.modules["torch"]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.module.buffers() if not buffer.is_meta]
    on_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    devices = list(range(torch.cuda.device_count())) if on_cuda else []
    with torch.random.fork_rng(devices), torch.no_grad():
        try:
            yield
        finally:
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def encode(model: Model, sample: Array) -> tuple[Array, Optional[Posterior]]:
    """Latents of the mode, (1, C, h, w) and unscaled, and the posterior where the class has one."""
    output = model.call("encode", tensor(model, sample))
    distribution = getattr(output, "latent_dist", output[0] if isinstance(output, tuple) else None)
    if distribution is None or not hasattr(distribution, "mode"):
        latents = getattr(output, "latents", output[0] if isinstance(output, tuple) else output)
        return array(latents), None
    draw, noise = _draw(distribution)
    mode = array(distribution.mode())
    moments = array(distribution.parameters)
    return mode, Posterior(moments, mode, array(distribution.std), draw, noise)


def decode(model: Model, latents: Array) -> tuple[Array, Array]:
    """The decoded sample, (1, 3, H, W), of unscaled latents; and these as the model's dtype has them."""
    given = tensor(model, latents)
    output = model.call("decode", given)
    sample = getattr(output, "sample", output[0] if isinstance(output, tuple) else output)
    return array(sample), array(given)


def tensor(model: Model, values: Array) -> Any:
    torch = sys.modules["torch"]
    return torch.from_numpy(np.array(values)).to(model.device(), model.dtype())


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
    noise = torch.randn(mean.shape, generator=generator(), dtype=mean.dtype)
    return array(draw), array(noise)
