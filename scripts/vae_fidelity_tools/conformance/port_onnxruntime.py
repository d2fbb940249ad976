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
from diffusers import AutoencoderKL, AutoencoderKLFlux2, AutoencoderKLQwenImage, AutoencoderKLWan, AutoencoderTiny
from PIL import Image
from safetensors.numpy import load_file

from vae_fidelity_tools import arguments
from vae_fidelity_tools.halves import Decode, Encode, OneFrame, export_onnx

FAULTS = {
    "no-clamp": "the log-variance is not clamped",
    "scaled-twice": "latents are multiplied by scaling_factor twice",
    "patch-order": "FLUX.2's patches are packed as (ph, pw, c)",
    "no-statistics": "latents_mean and latents_std are left out",
    "truncated": "levels are cut off, not rounded",
    "symmetric-padding": "the first downsampling pads all sides",
}


def session(module, channels, name, folder):
    """`module` as an ONNX graph of any height and width, loaded by ONNX Runtime."""
    path, sides = folder / f"{name}.onnx", {2: "height", 3: "width"}
    export_onnx(module, torch.zeros(1, channels, 32, 32), path, dynamic_axes={"input": sides, "output": sides})
    loaded = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda tensor: loaded.run(None, {"input": tensor})[0]


class Factor:
    """Latents are multiplied by one number."""

    def __init__(self, vae, fault):
        self.factor = np.float32(vae.config.scaling_factor)
        self.twice = fault == "scaled-twice"

    def scale(self, latents):
        latents = latents * self.factor
        return latents * self.factor if self.twice else latents

    def unscale(self, latents):
        return latents / self.factor


class Patches:
    """FLUX.2's: 2 x 2 patches, normalised by the statistics of the checkpoint."""

    def __init__(self, vae, fault):
        self.mean = vae.bn.running_mean.numpy()[None, :, None, None]
        self.std = np.sqrt(vae.bn.running_var.numpy()[None, :, None, None] + np.float32(vae.config.batch_norm_eps))
        self.order = (0, 3, 5, 1, 2, 4) if fault == "patch-order" else (0, 1, 3, 5, 2, 4)

    def scale(self, latents):
        n, c, h, w = latents.shape
        patches = latents.reshape(n, c, h // 2, 2, w // 2, 2).transpose(self.order).reshape(n, 4 * c, h // 2, w // 2)
        return (patches - self.mean) / self.std

    def unscale(self, latents):
        latents = latents * self.std + self.mean
        n, c, h, w = latents.shape
        return latents.reshape(n, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


class Statistics:
    """Wan's and Qwen-Image's: mean and deviation of each channel, from the config."""

    def __init__(self, vae, fault):
        shape = (1, -1, 1, 1)
        self.mean = np.array(vae.config.latents_mean, np.float32).reshape(shape)
        self.over_std = np.float32(1) / np.array(vae.config.latents_std, np.float32).reshape(shape)
        self.left_out = fault == "no-statistics"

    def scale(self, latents):
        return latents if self.left_out else (latents - self.mean) * self.over_std

    def unscale(self, latents):
        return latents / self.over_std + self.mean


KINDS = {
    "AutoencoderKL": (AutoencoderKL, Factor),
    "AutoencoderTiny": (AutoencoderTiny, Factor),
    "AutoencoderKLFlux2": (AutoencoderKLFlux2, Patches),
    "AutoencoderKLWan": (AutoencoderKLWan, Statistics),
    "AutoencoderKLQwenImage": (AutoencoderKLQwenImage, Statistics),
}


class Port:
    """One model, encoding and decoding."""

    def __init__(self, folder, config, fault, temporary):
        kind, scaling = KINDS[config["_class_name"]]
        vae = kind.from_pretrained(folder, low_cpu_mem_usage=False).eval()
        if fault == "symmetric-padding":
            first = vae.encoder.down_blocks[0].downsamplers[0]
            first.padding, first.conv.padding = 1, (1, 1)
        self.has_posterior = kind is not AutoencoderTiny
        self.scaling, self.fault = scaling(vae, fault), fault
        encode, decode = (Encode(vae, "parameters") if self.has_posterior else vae.encoder), Decode(vae)
        if scaling is Statistics:
            # ONNX has no nearest-exact; at twice the size it is the same as nearest.
            for module in vae.modules():
                if isinstance(module, torch.nn.Upsample):
                    module.mode = "nearest"
            encode, decode = OneFrame(encode), OneFrame(decode)
        channels = [vae.config.get(name) for name in ("latent_channels", "z_dim")]
        self.encode = session(encode, 3, f"{folder.name}-encode", temporary)
        self.decode = session(decode, next(filter(None, channels)), f"{folder.name}-decode", temporary)

    def latents(self, moments, noise):
        """Latents as a diffusion model is given them: of the mean, or of a draw with the noise that was given."""
        mean, logvar = np.split(moments, 2, axis=1) if self.has_posterior else (moments, None)
        if noise is not None:
            if self.fault != "no-clamp":
                logvar = np.clip(logvar, -30, 20)
            with np.errstate(over="ignore"):
                mean = mean + np.exp(np.float32(0.5) * logvar) * noise
        return self.scaling.scale(mean)

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
            decoded = port.decode(port.scaling.unscale(read(args.inputs, inputs["scaled_latents"])))
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
