"""Says whether a latent-diffusion VAE works, and when it does not, what is wrong.

A picture is encoded to latents, decoded back, and compared with what went in. Models are those of diffusers:
a folder, a file, or a repository of the Hugging Face Hub. They run on this package's own engine: neither torch
nor a GPU is needed.

    >>> import vae_fidelity
    >>> report = vae_fidelity.check("golden/images/astronaut.png")
    >>> report.verdict
    'pass'
    >>> report.metrics.psnr_db > 25
    True

`check` takes a path, bytes, a PIL image, a numpy array or a torch tensor; `Pipeline` loads a VAE once for many
pictures. `python -m vae_fidelity` is the command `vae-fidelity`.
"""

from vae_fidelity import live, reports
from vae_fidelity._check import check
from vae_fidelity._checkpoint import Checkpoint, open_checkpoint
from vae_fidelity._errors import OutOfMemory, VaeFidelityError
from vae_fidelity._evaluate import Evaluation, evaluate, merge
from vae_fidelity._functions import compare, explain, inspect, metrics, preprocess
from vae_fidelity._gap import Gap, explain_gap
from vae_fidelity._native import __version__
from vae_fidelity._pipeline import Pipeline
from vae_fidelity._report import Decoded, Report
from vae_fidelity.live.compare import ModelComparison, compare_models

__all__ = [
    "Checkpoint",
    "Decoded",
    "Evaluation",
    "Gap",
    "ModelComparison",
    "OutOfMemory",
    "Pipeline",
    "Report",
    "VaeFidelityError",
    "__version__",
    "check",
    "compare",
    "compare_models",
    "evaluate",
    "explain",
    "explain_gap",
    "inspect",
    "live",
    "merge",
    "metrics",
    "open_checkpoint",
    "preprocess",
    "reports",
]
