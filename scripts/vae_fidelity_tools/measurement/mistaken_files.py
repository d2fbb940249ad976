"""Mistakes in a VAE's files: what `measurement.pipelines` draws from, beside those of `measurement.mistakes`.

Each is given the folder, which is a copy, and the numbers that are drawn.
"""

import json

import torch
from safetensors.torch import load_file, save_file

from vae_fidelity_tools.measurement.mistakes import mistake

WEIGHTS = "diffusion_pytorch_model.safetensors"


def change_weights(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


def convolutions(tensors, half=""):
    return sorted(name for name, t in tensors.items() if name.startswith(half) and t.dim() == 4 and t.shape[2] == 3)


def change_each(folder, change, names=convolutions):
    """Puts what `change` makes of it in the place of each tensor that `names` picks, in its order."""

    def change_all(tensors):
        tensors.update([(name, change(tensors[name])) for name in names(tensors)])

    change_weights(folder, change_all)


@mistake("files", "weights-zero")
def a_tensor_never_filled(folder, random):
    change_weights(folder, lambda t: t[random.choice(convolutions(t, "decoder"))].zero_())


@mistake("files", "weights-non-finite")
def NaN_from_training(folder, random):
    change_weights(folder, lambda t: t[random.choice(convolutions(t, "encoder"))][0].fill_(float("nan")))


@mistake("files", "weights-missing")
def a_tensor_lost(folder, random):
    change_weights(folder, lambda t: t.pop(random.choice(convolutions(t, "decoder"))))


@mistake("files", "weights-scale-lost")
def scale_of_8_bits_lost(folder, _):
    change_each(folder, lambda tensor: tensor * (448.0 / tensor.abs().max()))


@mistake("files", "weights-misread")
def bf16_read_as_f16(folder, _):
    change_each(folder, lambda tensor: tensor.bfloat16().view(torch.float16).float(), names=list)


@mistake("files", "weights-scaled")
def merged_with_nothing(folder, random):
    share = random.choice([0.5, 0.7])
    change_each(folder, lambda tensor: tensor * share, names=list)


def quantised(folder, group, most):
    """Each group of values in whole steps, `most` to either side."""

    def rounded(tensor):
        if tensor.numel() % group:
            return tensor
        rows = tensor.reshape(-1, group)
        step = rows.abs().amax(1, keepdim=True) / most
        return ((rows / step).round() * step).reshape(tensor.shape)

    change_each(folder, rounded)


@mistake("files", "weights-quantised")
def kept_in_3_bits(folder, random):
    quantised(folder, random.choice([32, 64]), 3)


@mistake("files", "weights-untrained")
def decoder_never_loaded(folder, random):
    generator = torch.Generator().manual_seed(random.randrange(1000))

    def fresh(tensor):
        bound = 1 / (tensor[0].numel() ** 0.5)
        return tensor.uniform_(-bound, bound, generator=generator)

    change_each(folder, fresh, names=lambda tensors: convolutions(tensors, "decoder"))


@mistake("files", "passes-nothing")
def unlike_VAEs_averaged(folder, random):
    generator = torch.Generator().manual_seed(random.randrange(1000))

    def averaged(tensor):
        return (tensor + tensor[torch.randperm(tensor.shape[0], generator=generator)]) / 2

    change_each(folder, averaged)


@mistake("files", "wrong-class")
def config_of_another_class(folder, _):
    config = json.loads((folder / "config.json").read_text())
    config["_class_name"] = "AutoencoderKLWan"
    (folder / "config.json").write_text(json.dumps(config))


@mistake("files", "lfs-pointer")
def cloned_without_LFS(folder, _):
    size = (folder / WEIGHTS).stat().st_size
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {size}\n"
    (folder / WEIGHTS).write_text(text)


@mistake("files", "file-truncated")
def download_cut_off(folder, random):
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[: int(len(whole) * random.uniform(0.3, 0.9))])
