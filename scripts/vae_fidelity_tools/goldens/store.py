"""How expected tensors are stored: in full when small, else as a SHA-256 and a sample of values.

The layout is pinned in golden/README.md; the Rust crate reads it.
"""

import hashlib
import json
import math

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save

from vae_fidelity_tools.goldens.recipe import sample_indices

SCHEMA_VERSION = 1
LARGEST_IN_FULL = 16_384
SAMPLES = 4096
FILES = {
    "sample": "sample.safetensors",
    "moments": "latents.safetensors",
    "latents": "latents.safetensors",
    "noise": "latents.safetensors",
    "decoded": "decoded.safetensors",
    "decoded_rgb8": "decoded.safetensors",
}
PICTURE = "decoded.png"
# The unit in the last place of 1, and the smallest normal value, which nothing has a smaller unit than.
UNIT = {"f16": 2.0**-10, "bf16": 2.0**-7}
SMALLEST_NORMAL = {"f16": 2.0**-14, "bf16": 2.0**-126}


def tensors_of(run):
    """Every expected tensor of a run, by the name it is stored under."""
    tensors = {name: getattr(run, name) for name in ("sample", "moments", "latents", "noise", "decoded")}
    tensors["decoded_rgb8"] = run.picture and np.array(run.picture.convert("RGB"))
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def sha256(tensor):
    """Of the values as little-endian bytes in C order."""
    return hashlib.sha256(tensor.astype(tensor.dtype.newbyteorder("<")).tobytes()).hexdigest()


def row(name, tensor, largest_in_full=LARGEST_IN_FULL):
    """What the manifest says about a tensor; None stores all of them in full."""
    full = largest_in_full is None or tensor.size <= largest_in_full
    return {
        "shape": list(tensor.shape),
        "dtype": {"float32": "f32", "uint8": "u8"}[str(tensor.dtype)],
        "sha256": sha256(tensor),
        "stored": "full" if full else "samples",
        "file": PICTURE if full and name == "decoded_rgb8" else FILES[name],
    }


def sampled(tensor):
    return tensor.reshape(-1)[sample_indices(tensor.size, SAMPLES)]


def write_case(folder, run, largest_in_full=LARGEST_IN_FULL):
    """Writes the files of a case into `folder`; returns the manifest's rows for its tensors."""
    folder.mkdir(parents=True)
    rows, files = {}, {}
    for name, tensor in tensors_of(run).items():
        rows[name] = row(name, tensor, largest_in_full)
        if rows[name]["stored"] == "samples":
            files.setdefault(FILES[name], {})[f"{name}.samples"] = sampled(tensor)
        elif name == "decoded_rgb8":
            Image.fromarray(tensor).save(folder / PICTURE)
        else:
            files.setdefault(FILES[name], {})[name] = tensor
    for file, tensors in files.items():
        (folder / file).write_bytes(save(tensors))
    return rows


def read_tensor(folder, name, row):
    """The stored values: the tensor, or its samples in one dimension."""
    if row["file"] == PICTURE:
        with Image.open(folder / PICTURE) as picture:
            return np.array(picture)
    key = name if row["stored"] == "full" else f"{name}.samples"
    return load_file(folder / row["file"])[key]


def difference(folder, name, row, tensor, tolerance):
    """What is wrong with `tensor`, or None; a tolerance of None asks for equal bits."""
    if list(tensor.shape) != row["shape"]:
        return f"{name}: shape {list(tensor.shape)}, expected {row['shape']}"
    expected = read_tensor(folder, name, row)
    actual = tensor if row["stored"] == "full" else sampled(tensor)
    if sha256(tensor) == row["sha256"]:
        edited = sha256(actual) != sha256(expected)
        return f"{name}: {row['file']} holds other values than its SHA-256 stands for" if edited else None
    gap = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    share = (gap > 0).mean()
    said = f"{name}: largest difference {gap.max():.3g}, {share:.2%} of the stored values differ"
    if tolerance is None:
        return said
    allowed = tolerance["atol"] + tolerance["rtol"] * np.abs(expected.astype(np.float64))
    within = (gap <= allowed).all() and share <= tolerance.get("share", 1)
    return None if within else f"{said}: beyond {json.dumps(tolerance)}"


def tolerance(tolerances, tensor, model, dtype="f32"):
    """The CPU's row for a tensor of a model: the model's own if there is one."""
    key = (tensor, dtype, "cpu")
    rows = [row for row in tolerances["rows"] if (row["tensor"], row["dtype"], row["device"]) == key]
    rows = [row for row in rows if row.get("model", model) == model]
    found = max(rows, key=lambda row: "model" in row)
    if dtype in UNIT and tensor not in ("sample", "decoded_rgb8") and found["rtol"] < UNIT[dtype]:
        raise BelowOneStep(f"{tensor}: rtol {found['rtol']:g} is less than one step of {dtype}, {UNIT[dtype]:g} of a value")
    return found


def step(dtype, value):
    """The unit in the last place of `value`, a float, in a 16-bit type."""
    return 2.0 ** math.floor(math.log2(max(abs(value), SMALLEST_NORMAL[dtype]))) * UNIT[dtype]


class BelowOneStep(Exception):
    """A tolerance that a machine which rounds one value the other way does not meet."""


class Degenerate(Exception):
    """The run's output could not tell a right implementation from a wrong one."""


def refuse_degenerate(name, run):
    """Every output must be finite and vary within each channel; few pixels may be clipped."""
    for tensor in ("moments", "latents", "decoded"):
        values = getattr(run, tensor)
        if values is not None and not np.isfinite(values).all():
            raise Degenerate(f"{name}: {tensor} has non-finite values")
    spread = run.decoded.std(axis=(2, 3)).min()
    if spread < 0.02:
        raise Degenerate(f"{name}: a channel of decoded is all but constant (standard deviation {spread:.2g})")
    # Some classes clamp what they decode.
    clipped = (np.abs(run.decoded) >= 1).mean()
    if clipped > 0.5:
        raise Degenerate(f"{name}: {clipped:.0%} of decoded is clipped")
    if math.prod(run.latents.shape[2:]) > 1 and run.latents.std(axis=(2, 3)).min() < 1e-4:
        raise Degenerate(f"{name}: a channel of the latents is all but constant")


def posterior_kind(case):
    if case.deterministic:
        return "deterministic"
    return "mode" if case.seed is None else "sample"


def manifest_row(case, tensors, blocks=None, written_on=None):
    """What the manifest says about a case; `tensors` and `blocks` are what their writers returned, `written_on`
    what of the environment is another than the manifest's."""
    row = {
        "name": case.name,
        "shows": case.shows,
        "model": case.model,
        "image": case.image,
        "width": case.width,
        "height": case.height,
        "posterior": {"kind": posterior_kind(case), "seed": case.seed},
        "dtype": case.dtype,
        "device": case.device,
        "trace": "trace.json" if case.trace else None,
    }
    if written_on:
        row["written_on"] = written_on
    if case.tiling:
        row["tiling"] = {"tile_sample_min_size": case.tile_size}
    if case.batch:
        row |= {"clip" if case.clip else "slicing": True, "batch": list(case.batch)}
    if case.blocks:
        row["blocks"] = blocks
    return row | {"tensors": tensors}


def manifest_json(manifest):
    """A line for each field and each tensor, so that a change shows as the lines it touches."""
    head = {key: value for key, value in manifest.items() if key != "cases"}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    cases = []
    for case in manifest["cases"]:
        fields = [f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in case.items() if k not in ("tensors", "blocks")]
        if "blocks" in case:
            entry = {key: value for key, value in case["blocks"].items() if key not in ("encode", "decode")}
            lines_of = {
                stage: ",\n".join(f"     {json.dumps(row)}" for row in case["blocks"][stage]) for stage in ("encode", "decode")
            }
            stages = ",\n".join(f'    "{stage}": [\n{rows}\n    ]' for stage, rows in lines_of.items())
            fields.append(f'   "blocks": {json.dumps(entry)[:-1]},\n{stages}\n   }}')
        tensors = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in case["tensors"].items()]
        fields.append('   "tensors": {\n' + ",\n".join(tensors) + "\n   }")
        cases.append("  {\n" + ",\n".join(fields) + "\n  }")
    return "{\n" + "\n".join(lines) + '\n "cases": [\n' + ",\n".join(cases) + "\n ]\n}\n"
