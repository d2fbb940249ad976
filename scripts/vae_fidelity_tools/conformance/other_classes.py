#!/usr/bin/env python3
"""Holds every autoencoder class of diffusers against the crate: each that is not run is refused by its own name.

    scripts/python.sh -m vae_fidelity_tools.conformance.other_classes [--dump COMMAND...]

Each class is built on torch's meta device with its defaults, and a file with its names and shapes is written
without values (a sparse file), alone and behind `vae.`. Those that are run have to be taken for what they are:
of AutoencoderKL's many models one has to be asked for, AsymmetricAutoencoderKL's and AutoencoderDC's defaults are
nobody's, AutoencoderKLFlux2's are FLUX.2, AutoencoderTiny's are TAESD, those of Wan and Qwen-Image are one graph,
AutoencoderKLQwenImage21's are Qwen-Image 2.1, and AutoencoderKLHunyuanImage, which has no defaults, is given
HunyuanImage 2.1's.
"""

import inspect
import json
import os
import struct
import sys
import tempfile
from pathlib import Path

import diffusers
import torch

from vae_fidelity_tools import arguments
from vae_fidelity_tools.conformance import examples

# One graph under two names, or two classes whose tensors have the same names.
ALSO = {
    "AutoencoderKLHunyuanImageRefiner": "AutoencoderKLHunyuanVideo15",
    "AutoencoderKLLTX2Video": "AutoencoderKLLTXVideo",
}
# Their models without a config are known by their shapes.
TAKEN = (
    "AutoencoderKLFlux2",
    "AutoencoderKLHunyuanImage",
    "AutoencoderKLQwenImage",
    "AutoencoderKLQwenImage21",
    "AutoencoderKLWan",
    "AutoencoderTiny",
)
# Not autoencoders of pictures or video.
AUDIO = ("Audio", "Oobleck", "SAME")
ARGUMENTS = {
    "AutoencoderKLHunyuanImage": {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 64,
        "block_out_channels": (128, 256, 512, 512, 1024, 1024),
        "layers_per_block": 2,
        "spatial_compression_ratio": 32,
        "sample_size": 384,
    }
}


def classes():
    """Every class of diffusers that is one, with a model that has no values."""
    for name in sorted(dir(diffusers)):
        known = name.startswith("Autoencoder") or name in ("VQModel", "ConsistencyDecoderVAE", "AsymmetricAutoencoderKL")
        if not known or not inspect.isclass(getattr(diffusers, name)) or any(part in name for part in AUDIO):
            continue
        try:
            with torch.device("meta"):
                yield name, getattr(diffusers, name)(**ARGUMENTS.get(name, {}))
        except NameError as error:  # transformers is not there
            print(f"left   {name}: {error}")


def write(path, tensors):
    """A safetensors file whose values are a hole."""
    header, at = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * 4
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + at)


def main():
    parser = arguments.parser(__doc__)
    examples.add_dump(parser, "checkpoint_dump")
    args = parser.parse_args()
    command = args.dump or [examples.build("checkpoint_dump")["checkpoint_dump"]]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for name, model in classes():
            for prefix in ("", "vae."):
                path = Path(folder, f"{name}-{len(prefix)}.safetensors")
                write(path, {prefix + key: tensor for key, tensor in model.state_dict().items()})
                jobs.append((name, path))
        answers = examples.ask(command, [{"repo": os.fspath(path)} for _, path in jobs])
        for (name, _), answer in zip(jobs, answers):
            error = answer.get("error", "no error")
            # Defaults of no published family: that, and not another class, is the question.
            is_run = name in ("AutoencoderKL", "AsymmetricAutoencoderKL", "AutoencoderDC")
            expected = "no published family" if is_run else ALSO.get(name, name)
            right = expected in error and ("not run yet" in error) != is_run
            if name in TAKEN:
                right = "error" not in answer
            wrong += not right
            print(f"{'named' if right else 'WRONG':7}{name}" + ("" if right else f": {error}"))
    if not jobs or wrong:
        sys.exit(f"{wrong} of {len(jobs)} files are not called what they are")
    print(f"{len(jobs)} files of diffusers {diffusers.__version__}")


if __name__ == "__main__":
    main()
