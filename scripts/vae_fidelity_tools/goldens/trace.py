"""What each module of a VAE put out: statistics and a fixed sample of values."""

import json
from contextlib import contextmanager

import numpy as np

from vae_fidelity_tools.goldens.recipe import sample_indices
from vae_fidelity_tools.goldens.store import sha256

SCHEMA_VERSION = 1
SAMPLES = 32
# Layers that hold weights, and the blocks they make up; activations and dropout are left out.
KINDS = {
    "Conv2d", "GroupNorm", "Linear",
    "ResnetBlock2D", "Attention", "Downsample2D", "Upsample2D",
    "DownEncoderBlock2D", "UpDecoderBlock2D", "UNetMidBlock2D", "Encoder", "Decoder",
    "AutoencoderTinyBlock", "Sequential", "EncoderTiny", "DecoderTiny", "MaskConditionDecoder",
    "ResBlock", "EfficientViTBlock", "SanaMultiscaleLinearAttention", "SanaMultiscaleAttentionProjection", "GLUMBConv",
    "DCDownBlock2d", "DCUpBlock2d", "RMSNorm", "BatchNorm2d",
    "AvgDown3D", "DupUp3D", "WanResidualDownBlock", "WanResidualUpBlock",
    *(f"QwenImage21{part}" for part in ("AvgDown3D", "DupUp3D", "ResidualDownBlock", "ResidualUpBlock")),
    *(
        f"HunyuanImage{part}"
        for part in ("ResnetBlock", "AttentionBlock", "Downsample", "Upsample", "MidBlock", "Encoder2D", "Decoder2D")
    ),
    *(
        f"{model}{part}"
        for model in ("Wan", "QwenImage", "QwenImage21")
        for part in ("CausalConv3d", "RMS_norm", "ResidualBlock", "AttentionBlock", "Resample", "MidBlock", "UpBlock",
                     "Encoder3d", "Decoder3d")
    ),
}  # fmt: skip


@contextmanager
def recorded(vae):
    """Collects an entry for each module of KINDS that finishes, in that order."""
    entries, handles = [], []

    def listen(name, kind):
        return lambda module, inputs, output: entries.append(entry(name, kind, one_frame(output).detach().cpu().float().numpy()))

    for name, module in vae.named_modules():
        kind = type(module).__name__
        if name and kind in KINDS:
            handles.append(module.register_forward_hook(listen(name, kind)))
    try:
        yield entries
    finally:
        for handle in handles:
            handle.remove()


def one_frame(tensor):
    """A clip (N, C, 1, H, W) as the image (N, C, H, W); all others as they are."""
    return tensor.squeeze(2) if tensor.ndim == 5 else tensor


def entry(name, kind, output):
    flat = np.ascontiguousarray(output).reshape(-1)
    return {"module": name, "kind": kind, "shape": list(output.shape), "sha256": sha256(flat), **statistics(flat),
            "samples": [short(value) for value in flat[sample_indices(flat.size, SAMPLES)]]}  # fmt: skip


def statistics(flat):
    """Of the finite values; mean and population standard deviation in f64."""
    finite = flat[np.isfinite(flat)]
    if not finite.size:
        return {"mean": None, "std": None, "min": None, "max": None, "non_finite": flat.size}
    return {
        "mean": float(finite.mean(dtype=np.float64)),
        "std": float(finite.astype(np.float64).std()),
        "min": short(finite.min()),
        "max": short(finite.max()),
        "non_finite": int(flat.size - finite.size),
    }


def short(value):
    """The f32 as the float whose shortest decimal is the f32's own; None for NaN and infinity."""
    return float(str(np.float32(value))) if np.isfinite(value) else None


def difference(expected, actual, tolerance):
    """The first module whose samples are off by more than the tolerance, in words, or None."""
    for stage in ("encode", "decode"):
        names = [[row["module"] for row in trace[stage]] for trace in (expected, actual)]
        if names[0] != names[1]:
            return f"trace: other modules in {stage}"
        for one, other in zip(expected[stage], actual[stage]):
            values = [np.array(row["samples"], np.float64) for row in (one, other)]
            allowed = tolerance["atol"] * one["std"] + tolerance["rtol"] * np.abs(values[0])
            if one["shape"] != other["shape"] or not (np.abs(values[0] - values[1]) <= allowed).all():
                return f"trace: {one['module']} differs beyond {json.dumps(tolerance)}"
    return None


def to_json(trace):
    """A line for each module, so that a change shows as the lines it touches."""
    stages = []
    for stage in ("encode", "decode"):
        rows = ",\n".join("  " + json.dumps(row) for row in trace[stage])
        stages.append(f' "{stage}": [\n{rows}\n ]')
    return '{\n "schema_version": %d,\n%s\n}\n' % (SCHEMA_VERSION, ",\n".join(stages))
