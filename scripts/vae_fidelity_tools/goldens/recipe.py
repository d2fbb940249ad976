"""Weights as a function of tensor name and index, so that a full-size model needs no file.

    scripts/python.sh -m vae_fidelity_tools.goldens.recipe golden/models/sd-v1-4 OUT   weights as diffusers stores them
    scripts/python.sh -m vae_fidelity_tools.goldens.recipe --test-values               golden/recipe_test_values.json

`golden/README.md` writes the steps down; every step is exact or rounds once in f32, so that numpy
and Rust agree to the bit.
"""

import hashlib
import json
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import GOLDEN

HASH = "fnv1a64-splitmix64"
SCHEMA_VERSION = 1
WEIGHTS = "diffusion_pytorch_model.safetensors"

# Tensor name, shape, flat index: at least one of every kind of tensor, and both ends of one.
TEST_VALUES = [
    ("encoder.conv_in.weight", [128, 3, 3, 3], 0),
    ("encoder.conv_in.weight", [128, 3, 3, 3], 3455),
    ("encoder.conv_in.bias", [128], 7),
    ("encoder.mid_block.attentions.0.group_norm.weight", [512], 511),
    ("encoder.mid_block.attentions.0.to_q.weight", [512, 512], 1000),
    ("decoder.up_blocks.2.resnets.0.conv_shortcut.weight", [256, 512, 1, 1], 131071),
    ("decoder.conv_norm_out.bias", [128], 0),
    ("quant_conv.weight", [8, 8, 1, 1], 63),
]


def name_hash(name):
    """FNV-1a, 64 bits, of the name's UTF-8 bytes."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def scrambled(seed, count):
    """The first `count` outputs of splitmix64 whose state starts at `seed`, as uint64."""
    z = np.arange(1, count + 1, dtype=np.uint64)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(seed)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def sample_indices(length, count):
    """The flat indices at which a tensor of `length` values is sampled."""
    return (scrambled(name_hash("sample"), count) % np.uint64(length)).astype(np.int64)


def values(name, shape, factor=1.0):
    """The f32 values of tensor `name`."""
    count = math.prod(shape)
    top = (scrambled(name_hash(name), count) >> np.uint64(40)).astype(np.float32)
    u = top * np.float32(2.0**-23) - np.float32(1)
    if name.endswith(".gamma"):
        # Of a norm over channels, with as many dimensions as what it multiplies.
        tensor = np.float32(1) + np.float32(0.1) * u
    elif len(shape) >= 2:
        spread = np.float32(math.sqrt(3 / math.prod(shape[1:])))
        tensor = u * spread
    elif name.endswith((".weight", ".running_var")):
        tensor = np.float32(1) + np.float32(0.1) * u
    else:
        tensor = np.float32(0.1) * u
    return (tensor * np.float32(factor)).reshape(shape)


def read_recipe(path):
    """The factors, and the replaced tensors, of a recipe.json; refuses what would not reproduce exactly."""
    recipe = json.loads(path.read_text())
    unknown = set(recipe) - {"schema_version", "hash", "multiply", "replace"}
    if recipe.get("schema_version") != SCHEMA_VERSION or recipe.get("hash") != HASH or unknown:
        sys.exit(f"{path}: expected schema_version {SCHEMA_VERSION}, hash {HASH} and at most 'multiply' and 'replace'")
    factors = recipe.get("multiply", {})
    for name, factor in factors.items():
        if math.frexp(factor)[0] != 0.5:
            sys.exit(f"{path}: the factor of {name} is {factor}, expected a power of two")
    replaced = {name: np.array(given, np.float32) for name, given in recipe.get("replace", {}).items()}
    return factors, replaced


def tensor_shapes(config):
    """{tensor name: shape} of the model that a config describes; counters of training are left out."""
    import torch

    from vae_fidelity_tools.goldens.classes import CLASSES

    with torch.device("meta"):
        vae = CLASSES[config.get("_class_name", "AutoencoderKL")].diffusers_class.from_config(config)
    return {name: list(tensor.shape) for name, tensor in vae.state_dict().items() if tensor.is_floating_point()}


def materialise(model, out):
    """Writes `out`/vae/ as diffusers reads it from the recipe in `model`/vae/; returns `out`."""
    from safetensors.numpy import save_file

    config = json.loads((model / "vae" / "config.json").read_text())
    shapes = tensor_shapes(config)
    factors, replaced = read_recipe(model / "vae" / "recipe.json")
    for name in (set(factors) | set(replaced)) - set(shapes):
        sys.exit(f"{model}/vae/recipe.json: names {name}, which the model does not have")
    tensors = {name: values(name, shape, factors.get(name, 1.0)) for name, shape in shapes.items()}
    tensors |= {name: given.reshape(shapes[name]) for name, given in replaced.items()}
    (out / "vae").mkdir(parents=True)
    shutil.copy(model / "vae" / "config.json", out / "vae" / "config.json")
    save_file(tensors, out / "vae" / WEIGHTS, metadata={"format": "pt"})
    return out


def repository(model, temporary):
    """A folder that `from_pretrained` reads: the model's own, or a materialised recipe."""
    if not (model / "vae" / "config.json").is_file():
        sys.exit(f"{model}: no vae/config.json; is the model's name right?")
    if not (model / "vae" / "recipe.json").is_file():
        return model
    out = Path(temporary) / model.name
    if out.is_dir():
        return out
    key = weights_key(model)
    # Full models take gigabytes; those of one graph and recipe have the same weights.
    twins = (known for known in Path(temporary).glob("*/weights_key") if known.read_text() == key)
    twin = next(twins, None)
    if twin is None:
        materialise(model, out)
    else:
        (out / "vae").mkdir(parents=True)
        shutil.copy(model / "vae" / "config.json", out / "vae" / "config.json")
        os.link(twin.parent / "vae" / WEIGHTS, out / "vae" / WEIGHTS)
    (out / "weights_key").write_text(key)
    return out


def weights_key(model):
    """Equal for models with the same weights."""
    shapes = tensor_shapes(json.loads((model / "vae" / "config.json").read_text()))
    recipe = json.loads((model / "vae" / "recipe.json").read_text())
    return hashlib.sha256(json.dumps([shapes, recipe]).encode()).hexdigest()


def write_test_values(path):
    rows = []
    for name, shape, index in TEST_VALUES:
        value = values(name, shape).reshape(-1)[index]
        bits = f"{value.view(np.uint32):08x}"
        rows.append(json.dumps({"tensor": name, "shape": shape, "index": index, "bits": bits, "value": float(str(value))}))
    path.write_text("[\n  " + ",\n  ".join(rows) + "\n]\n")


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="folder that holds vae/config.json and vae/recipe.json")
    parser.add_argument("out", type=Path, nargs="?", help="new folder, diffusers' layout")
    parser.add_argument("--test-values", action="store_true", help="write golden/recipe_test_values.json")
    args = parser.parse_args()
    if args.test_values:
        return write_test_values(GOLDEN / "recipe_test_values.json")
    if not args.out:
        parser.error("MODEL and OUT are needed")
    if args.out.exists():
        sys.exit(f"{args.out}: exists; name a new folder")
    print(materialise(args.model, args.out))


if __name__ == "__main__":
    main()
