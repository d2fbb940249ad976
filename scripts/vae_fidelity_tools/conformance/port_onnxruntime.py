"""A port to judge: exported goldens through ONNX Runtime, in plain Python.

    vae-fidelity golden export inputs --only sd-small
    scripts/python.sh -m vae_fidelity_tools.conformance.port_onnxruntime inputs mine
    vae-fidelity golden verify --candidate mine --only sd-small

Each model of INPUTS is exported from diffusers to two ONNX graphs, which ONNX Runtime runs; the rest
is numpy. All that it reads are the files that `golden export` wrote. `--fault` plants a mistake, to
see it found.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image
from safetensors.numpy import load_file

from vae_fidelity_tools import arguments
from vae_fidelity_tools.halves import Decode, Encode, export_onnx

FAULTS = {
    "no-clamp": "the log-variance is not clamped",
    "scaled-twice": "latents are multiplied by scaling_factor twice",
    "truncated": "levels are cut off, not rounded",
    "symmetric-padding": "the first downsampling pads all sides",
}


def session(module, channels, name, folder):
    """`module` as an ONNX graph of any height and width, loaded by ONNX Runtime."""
    path, sides = folder / f"{name}.onnx", {2: "height", 3: "width"}
    export_onnx(module, torch.zeros(1, channels, 32, 32), path, dynamic_axes={"input": sides, "output": sides})
    loaded = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda tensor: loaded.run(None, {"input": tensor})[0]


class Port:
    """One model, encoding and decoding."""

    def __init__(self, folder, config, fault, temporary):
        self.has_posterior = config["_class_name"] != "AutoencoderTiny"
        kind = AutoencoderKL if self.has_posterior else AutoencoderTiny
        vae = kind.from_pretrained(folder, low_cpu_mem_usage=False).eval()
        if fault == "symmetric-padding":
            first = vae.encoder.down_blocks[0].downsamplers[0]
            first.padding, first.conv.padding = 1, (1, 1)
        self.encode = session(
            Encode(vae, "parameters") if self.has_posterior else vae.encoder,
            config["in_channels"],
            f"{folder.name}-encode",
            temporary,
        )
        self.decode = session(Decode(vae), config["latent_channels"], f"{folder.name}-decode", temporary)
        self.scaling = np.float32(config["scaling_factor"])
        self.fault = fault

    def latents(self, moments, noise):
        """Scaled latents: the mean, or a draw with the noise that was given."""
        mean, logvar = np.split(moments, 2, axis=1) if self.has_posterior else (moments, None)
        if noise is not None:
            if self.fault != "no-clamp":
                logvar = np.clip(logvar, -30, 20)
            with np.errstate(over="ignore"):
                mean = mean + np.exp(np.float32(0.5) * logvar) * noise
        scaled = mean * self.scaling
        return scaled * self.scaling if self.fault == "scaled-twice" else scaled

    def picture(self, decoded):
        unit = np.clip(decoded[0] / np.float32(2) + np.float32(0.5), 0, 1).transpose(1, 2, 0)
        levels = unit * np.float32(255)
        return Image.fromarray((levels if self.fault == "truncated" else levels.round()).astype(np.uint8))


def read(root, row):
    """A tensor that cases.json names, in whichever format it was exported."""
    if row is None:
        return None
    if "npy" in row:
        return np.load(root / row["npy"])
    return next(iter(load_file(root / row["safetensors"]).values()))


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("inputs", type=Path, help="folder that `vae-fidelity golden export` wrote")
    parser.add_argument("out", type=Path, help="folder for the results, judged by `golden verify --candidate`")
    parser.add_argument("--fault", choices=FAULTS, help="; ".join(f"{name}: {what}" for name, what in FAULTS.items()))
    args = parser.parse_args()
    listing = json.loads((args.inputs / "cases.json").read_text())
    models = {model["name"]: model for model in listing["models"]}
    ports = {}
    with tempfile.TemporaryDirectory() as temporary:
        for case in listing["cases"]:
            if "optional" in case:  # f16, bf16, tiles and slices: not here
                continue
            model = models[case["model"]]
            if model["name"] not in ports:
                folder = (args.inputs / model["config"]).parent
                config = json.loads((args.inputs / model["config"]).read_text())
                ports = {model["name"]: Port(folder, config, args.fault, Path(temporary))}
            port, inputs = ports[model["name"]], case["inputs"]
            moments = port.encode(read(args.inputs, inputs["sample"]))
            decoded = port.decode(read(args.inputs, inputs["scaled_latents"]) / port.scaling)
            out = args.out / case["name"]
            out.mkdir(parents=True, exist_ok=True)
            if port.has_posterior:
                np.save(out / "moments.npy", moments)
            np.save(out / "latents.npy", port.latents(moments, read(args.inputs, inputs.get("noise"))))
            np.save(out / "decoded.npy", decoded)
            port.picture(decoded).save(out / "decoded.png")
            print(case["name"], flush=True)


if __name__ == "__main__":
    main()
