"""A model in memory, such as `pipe.vae`, judged as it is: its weights, each of its layers, and what it makes.

`vae_fidelity.check(pipe.vae, picture)` leads here; the classes of its report are in this package. torch is imported
by whoever has such a model, never by this package.
"""

from vae_fidelity.live.layers import Layer
from vae_fidelity.live.report import LiveReport, ModelInMemory
from vae_fidelity.live.weights import TensorChange, WeightsComparison

__all__ = ["Layer", "LiveReport", "ModelInMemory", "TensorChange", "WeightsComparison"]
