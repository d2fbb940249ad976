"""Kinds of fault in a VAE's files and in files of latents, from public threads: what `measurement.kinds` plants.

Where `expected` is `None`, the file is no fault and has to be read; where it is a text, it has to be refused by
that.
"""

import json

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from vae_fidelity_tools.measurement import mistaken_files
from vae_fidelity_tools.measurement.kinds_of_pipelines import Kind, encoded
from vae_fidelity_tools.measurement.mistaken_files import WEIGHTS, change_each, change_weights

KINDS = []


def files(threads, *expected):
    """Planted in the folder of the VAE, which is all that `check` is given."""

    def add(change):
        def plant(folder, picture, vae, random):
            change(folder / "vae", random)
            return [["--repo", folder / "vae"]]

        KINDS.append(Kind(threads, change.__name__.replace("_", " "), expected, plant))
        return change

    return add


def one_file(threads, name, expected, write):
    """The weights in one file of another making, with the folder's config."""

    def plant(folder, picture, vae, random):
        path = folder / name
        write(path, load_file(folder / "vae" / WEIGHTS))
        config = folder / "vae/config.json"
        return [["--repo", path, "--config", config]]

    KINDS.append(Kind(threads, name, expected, plant))


def latents_file(threads, name, write):
    """Latents as a training tool keeps them."""

    def plant(folder, picture, vae, random):
        path = folder / name
        write(path, encoded(vae, picture).mean, vae.config.scaling_factor)
        return [["--repo", folder / "vae", "--latents", path]]

    KINDS.append(Kind(threads, name, None, plant))


files("LTX-2#172", "weights-scale-lost")(mistaken_files.scale_of_8_bits_lost)
files("vllm-omni#6224", "weights-misread")(mistaken_files.bf16_read_as_f16)
files("Impact-Pack#103", "weights-scaled")(mistaken_files.merged_with_nothing)
files("mflux#436", "weights-quantised")(mistaken_files.kept_in_3_bits)
files("maji-merger#5", "passes-nothing")(mistaken_files.unlike_VAEs_averaged)
files("ComfyUI#4862", "wrong-class")(mistaken_files.config_of_another_class)


@files("vllm-omni#6224", "weights-misread")
def bf16_norms_read_as_f16(folder, _):
    def norms(tensors):
        return sorted(name for name in tensors if "norm" in name and name.endswith("weight"))

    change_each(folder, lambda tensor: tensor.bfloat16().view(torch.float16).float(), names=norms)


@files("Impact-Pack#103", "weights-scaled")
def a_cold_EMA(folder, _):
    change_each(folder, lambda tensor: tensor * 0.39, names=list)


@files("mlx-gen#13", "weights-quantised")
def kept_in_4_bits(folder, _):
    mistaken_files.quantised(folder, 64, 7)


@files("mlx-examples#971", "passes-nothing")
def kernels_transposed(folder, _):
    change_each(folder, lambda tensor: tensor.transpose(2, 3))


@files("mlx-examples#971", "passes-nothing")
def kernels_flipped(folder, _):
    change_each(folder, lambda tensor: tensor.flip(2, 3))


@files("mlx-examples#971", "passes-nothing", "wrong-family-values")
def norms_exchanged(folder, _):
    def exchange(tensors):
        for name in [name for name in tensors if ".norm1." in name]:
            other = name.replace(".norm1.", ".norm2.")
            if tensors[name].shape == tensors[other].shape:
                tensors[name], tensors[other] = tensors[other].clone(), tensors[name].clone()

    change_weights(folder, exchange)


@files("diffusers#621", "norm-num-groups")
def another_number_of_groups(folder, _):
    config = json.loads((folder / "config.json").read_text())
    config["norm_num_groups"] = 1 if config["norm_num_groups"] != 1 else 4
    (folder / "config.json").write_text(json.dumps(config))


@files("diffusers#4790", "weights-missing", "weights-unexpected")
def a_name_renamed_twice(folder, _):
    def rename(tensors):
        for name in [name for name in tensors if ".to_q." in name]:
            tensors[name.replace("to_q", "to_to_q")] = tensors.pop(name)

    change_weights(folder, rename)


def prefixed(prefix):
    def write(path, tensors):
        save_file({prefix + name: tensor for name, tensor in tensors.items()}, path)

    return write


def nested(*keys):
    def write(path, tensors):
        for key in reversed(keys):
            tensors = {key: tensors}
        torch.save(tensors, path)

    return write


one_file("xdiffusion#7", "module.safetensors", None, prefixed("module."))
one_file("open_clip#639", "_orig_mod.safetensors", None, prefixed("_orig_mod."))
one_file("open_clip#639", "vae.pt", None, nested("vae"))
one_file("open_clip#639", "state_dict.pt", None, nested("state_dict"))
one_file("open_clip#639", "model.pt", None, nested("model"))


def named(half):
    def write(path, tensors):
        save_file({n: t for n, t in tensors.items() if n.startswith(half)}, path)

    return write


def bare(half):
    def write(path, tensors):
        save_file({n[len(half) :]: t for n, t in tensors.items() if n.startswith(half)}, path)

    return write


one_file("InvokeAI#9032", "decoder_only.safetensors", "the decoder of a VAE", named("decoder."))
one_file("InvokeAI#9032", "bare_decoder.safetensors", "the decoder of a VAE alone", bare("decoder."))


def starting(first_bytes):
    return lambda path, tensors: path.write_bytes(first_bytes + bytes(5000))


one_file("stable-diffusion.cpp", "vae.gguf", "GGUF", starting(b"GGUF\x03\x00\x00\x00"))
one_file("stable-diffusion.cpp", "renamed_gguf.safetensors", "GGUF", starting(b"GGUF\x03\x00\x00\x00"))
one_file("Keras users", "vae.h5", "HDF5", starting(b"\x89HDF\r\n\x1a\n"))
one_file("ONNX users", "vae.onnx", "ONNX", starting(b"\x08\x08\x12\x07pytorch\x1a\x062.11.0"))
one_file("Flax users", "diffusion_flax_model.msgpack", "msgpack", starting(b"\x82\xa7decoder\x81\xa7conv_in\x82"))


def comfyui(path, mean, factor):
    # As the model makes them, which this version says.
    save_file({"latent_tensor": mean.contiguous(), "latent_format_version_0": torch.tensor([])}, path)


def kohya(path, mean, factor):
    _, _, h, w = mean.shape
    np.savez(
        path,
        latents=mean[0].numpy(),
        original_size=np.array([8 * w, 8 * h]),
        crop_ltrb=np.array([0, 0, 0, 0]),
    )


def musubi(path, mean, factor):
    _, _, h, w = mean.shape
    save_file({f"latents_1x{h}x{w}_float32": (mean * factor)[0][:, None].contiguous()}, path, metadata={"architecture": "wan"})


latents_file("ComfyUI#662", "ComfyUI_00001_.latent", comfyui)
latents_file("kohya sd-scripts", "photo_0256x0256_sd.npz", kohya)
latents_file("OneTrainer", "latent_image.pt", lambda path, mean, factor: torch.save({"latent_image": mean[0]}, path))
latents_file("musubi-tuner", "photo_0256x0256_wan.safetensors", musubi)
latents_file("axes of length 1", "frames.npy", lambda path, mean, factor: np.save(path, (mean * factor)[:, :, None].numpy()))
