"""Every layout in which people keep an AutoencoderKL, written by diffusers, safetensors and torch.

Each function writes one layout of a small VAE into an empty folder and returns a `Layout`: how the
crate is asked to open it, the dtype its tensors should come back in, and how diffusers itself loads
it. checkpoints.py compares the two; checkpoint_fixtures.py keeps some of the files.
"""

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file

DTYPES = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
WEIGHTS = "diffusion_pytorch_model"


@dataclass
class Layout:
    """What the crate is asked for, and what has to come of it."""

    repo: Path
    load: callable
    dtype: str = "f32"
    options: dict = field(default_factory=dict)
    note: str = ""


def vae(levels=2, seed=0, **changes):
    """A small VAE with all kinds of tensors; its weights depend on the seed alone."""
    config = {
        "block_out_channels": (2, 4, 6)[:levels],
        "norm_num_groups": 2,
        "latent_channels": 3,
        "sample_size": 64,
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
    }
    model = AutoencoderKL(**config | changes)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


def old_attention(tensors):
    """Names as diffusers wrote them before 0.17."""
    parts = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    return {
        _replace(name, {f".attentions.0.{new}.": f".attentions.0.{old}." for new, old in parts.items()}): tensor
        for name, tensor in tensors.items()
    }


def ldm(tensors, prefix=""):
    """Names and shapes as the LDM code writes them: the way back from diffusers' own conversion."""
    levels = 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("decoder.up_blocks."))
    parts = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    simple = {f"mid_block.attentions.0.{new}.": f"mid.attn_1.{old}." for new, old in parts.items()}
    simple |= {"mid_block.resnets.0.": "mid.block_1.", "mid_block.resnets.1.": "mid.block_2.", "conv_norm_out": "norm_out"}
    found = {}
    for name, tensor in tensors.items():
        half, _, rest = name.partition(".")
        if rest.startswith("down_blocks."):
            _, level, kind, index, leaf = rest.split(".", 4)
            rest = f"down.{level}.block.{index}.{leaf}" if kind == "resnets" else f"down.{level}.downsample.{leaf}"
        elif rest.startswith("up_blocks."):
            _, level, kind, index, leaf = rest.split(".", 4)
            level = levels - 1 - int(level)
            rest = f"up.{level}.block.{index}.{leaf}" if kind == "resnets" else f"up.{level}.upsample.{leaf}"
        rest = _replace(rest, simple | {"conv_shortcut": "nin_shortcut"})
        if ".mid.attn_1." in f".{rest}" and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        found[f"{prefix}{half}.{rest}"] = tensor
    return found


def _replace(text, changes):
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def cast(tensors, dtype):
    return {name: tensor.detach().to(dtype) for name, tensor in tensors.items()}


def pretrained(folder, **options):
    """diffusers' from_pretrained."""
    return lambda: AutoencoderKL.from_pretrained(str(folder), **options).state_dict()


def single_file(file, folder, model):
    """diffusers' from_single_file, with the model's config from disk in place of the hub's."""
    model.save_config(folder / "config-of-diffusers" / "vae")
    config = str(folder / "config-of-diffusers")
    return lambda: AutoencoderKL.from_single_file(str(file), config=config, subfolder="vae", local_files_only=True).state_dict()


def options(folder, model):
    """The crate gets the config of a single file with --config."""
    model.save_config(folder / "given")
    return {"config": str(folder / "given" / "config.json")}


# Folders, as save_pretrained writes them.


def folder(where, model, dtype="f32", variant=None, **arguments):
    model = model.to(DTYPES[dtype])
    model.save_pretrained(where / "vae", variant=variant, **arguments)
    asked = {"variant": variant} if variant else {}
    # diffusers reads a .bin index only when told that there are no safetensors.
    unsafe = {"use_safetensors": False} if arguments.get("safe_serialization") is False else {}
    load = pretrained(where, subfolder="vae", variant=variant, torch_dtype=DTYPES[dtype], **unsafe)
    return Layout(where, load, dtype, asked, "using the subfolder vae/")


def missing_variant(where, model):
    model.save_pretrained(where)
    return Layout(where, pretrained(where), "f32", {"variant": "fp16"}, "no weights of variant fp16")


def variant_beside_plain(where, model):
    """Two different VAEs, so that taking the wrong file shows."""
    vae(seed=9).save_pretrained(where)
    return folder_of_root(where, model, "f16", variant="fp16")


def folder_of_root(where, model, dtype="f32", variant=None):
    model.to(DTYPES[dtype]).save_pretrained(where, variant=variant)
    load = pretrained(where, variant=variant, torch_dtype=DTYPES[dtype])
    return Layout(where, load, dtype, {"variant": variant} if variant else {}, "the folder itself")


def old_variant_index(where, model):
    """The place of the variant in an index's name before diffusers 0.30."""
    layout = folder(where, model, variant="fp16", max_shard_size="4KB")
    now, then = f"{WEIGHTS}.safetensors.index.fp16.json", f"{WEIGHTS}.safetensors.fp16.index.json"
    (where / "vae" / now).rename(where / "vae" / then)
    return layout


def old_names_folder(where, model, legacy=False):
    model.save_config(where)
    tensors = old_attention(cast(model.state_dict(), torch.float32))
    if legacy:
        torch.save(tensors, where / f"{WEIGHTS}.bin", _use_new_zipfile_serialization=False)
    else:
        save_file(tensors, where / f"{WEIGHTS}.safetensors", metadata={"format": "pt"})
    return Layout(where, pretrained(where), note="older names")


# Single files.


def file(where, model, tensors, name, dtype="f32", note="", single=True, legacy=False):
    """`tensors` in one file; `single`: diffusers' from_single_file takes it."""
    path = where / name
    if path.suffix == ".safetensors":
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
    load = single_file(path, where, model) if single else model.state_dict
    return Layout(path, load, dtype, options(where, model), note)


def diffusers_file(where, model, dtype, name, **arguments):
    return file(where, model, cast(model.state_dict(), DTYPES[dtype]), name, arguments.pop("back", dtype), **arguments)


def ldm_file(where, model, dtype, name, prefix="", **arguments):
    tensors = ldm(cast(model.state_dict(), DTYPES[dtype]), prefix)
    return file(where, model, tensors, name, arguments.pop("back", dtype), "older names", **arguments)


def full_checkpoint(where, model, name, dtype="f32", legacy=False):
    """What training code of LDM leaves: other models, averaged copies, its own objects."""
    tensors = ldm(cast(model.state_dict(), DTYPES[dtype]), "first_stage_model.")
    tensors |= {
        "model.diffusion_model.input_blocks.0.0.weight": torch.ones(4, 4, 3, 3),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(7)[None],
        "model_ema.num_updates": torch.tensor(3, dtype=torch.int32),
        "model_ema.diffusion_modelinput_blocks00weight": torch.zeros(4, 4, 3, 3),
        "betas": torch.linspace(0, 1, 5, dtype=torch.float64),
    }
    if name.endswith(".safetensors"):
        return file(where, model, tensors, name, dtype, "tensors not of the VAE")
    layout = file(where, model, {"state_dict": tensors}, name, dtype, "tensors not of the VAE", legacy=legacy)
    # As Lightning does. diffusers refuses objects, so it has loaded the file without them.
    loaded = layout.load()
    objects = {"epoch": 3, "hyper_parameters": argparse.Namespace(lr=1e-4, betas=(0.9, 0.999)), "state_dict": tensors}
    torch.save(objects, layout.repo, _use_new_zipfile_serialization=not legacy)
    layout.load = lambda: loaded
    return layout


def strided_file(where, model, name="strided.pt", legacy=False):
    """Transposed and channels-last tensors, and two halves of one storage."""
    tensors = cast(model.state_dict(), torch.float32)
    for key, tensor in tensors.items():
        if tensor.ndim == 4:
            tensors[key] = tensor.contiguous(memory_format=torch.channels_last)
        elif tensor.ndim == 2:
            tensors[key] = tensor.t().contiguous().t()
    one, two = "decoder.conv_norm_out.weight", "decoder.conv_norm_out.bias"
    both = torch.cat([torch.zeros(3), tensors[one], tensors[two]])
    length = len(tensors[one])
    tensors[one], tensors[two] = both[3 : 3 + length], both[3 + length :]
    assert not tensors["encoder.conv_in.weight"].is_contiguous() and tensors[two].storage_offset() > 0
    return file(where, model, tensors, name, legacy=legacy)


def parameters_file(where, model, name="parameters.pt"):
    """nn.Parameters in a plain dict, as `dict(model.named_parameters())` gives."""
    return file(where, model, dict(model.named_parameters()), name)


class Everything(torch.nn.Module):
    """What a training script has in one module."""

    def __init__(self, vae):
        super().__init__()
        self.vae, self.discriminator = vae, torch.nn.Conv2d(3, 4, 3)


def wrapped_file(where, model, wrap, name, note, key=None):
    """What `wrap` makes of the VAE, in one file; diffusers reads none of these."""
    layout = file(where, model, wrap(model), name, note=note, single=False)
    if key:
        layout.options["key"] = key
    return layout


def trained(model):
    """A checkpoint of a training loop: weights, an average of them, and an optimiser with its state."""
    optimiser = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    optimiser.step()
    optimiser.zero_grad()
    model.load_state_dict(before)
    return {"model": vae(seed=8).state_dict(), "ema": model.state_dict(), "optimizer": optimiser.state_dict(), "step": 3}


WRAPPERS = {
    "torch.compile": (lambda model: torch.compile(model).state_dict(), "_orig_mod. taken out"),
    "DataParallel": (lambda model: torch.nn.DataParallel(model).state_dict(), "module. taken out"),
    "a module around it": (lambda model: Everything(model).state_dict(), "begin with vae."),
    "two wrappers": (
        lambda model: {"state_dict": torch.nn.DataParallel(Everything(torch.compile(model))).state_dict()},
        "_orig_mod. and module. taken out",
    ),
    "a dict of models": (lambda model: {"net": model.state_dict(), "step": torch.tensor(3)}, "begin with net."),
    "dicts within dicts": (
        lambda model: {"models": {"vae": {"state_dict": model.state_dict()}}, "args": {"lr": 1e-4}},
        "begin with models.vae.state_dict.",
    ),
    "halves": (
        lambda model: {
            part: dict(getattr(model, part).state_dict()) for part in ("encoder", "decoder", "quant_conv", "post_quant_conv")
        },
        "",
    ),
}


def eight_bit_file(where, model, dtype, name, prefix=""):
    """Every value of the dtype is in it, NaN too."""
    tensors = cast(model.state_dict(), dtype)
    key = "decoder.mid_block.resnets.0.conv1.weight"
    count = tensors[key].numel()
    tensors[key] = torch.arange(count).remainder(256).to(torch.uint8).view(dtype).reshape(tensors[key].shape)
    note = f"stored as {str(dtype).removeprefix('torch.')}"
    layout = file(where, model, ldm(tensors, prefix), name, "f16", note, single=False)
    # What torch makes of each value; the names are diffusers' already.
    layout.load = lambda: tensors
    return layout


def scaled_file(where, model, dtype, name, scale="scale_weight", prefix="", marked=True):
    """8-bit weights with one scale a tensor, as ComfyUI keeps them; torch multiplies in f32."""
    tensors = cast(model.state_dict(), torch.float32)
    stored = {}
    for key, tensor in tensors.items():
        stored[key] = tensor
        if tensor.ndim > 1:
            factor = tensor.abs().max() / torch.finfo(dtype).max
            stored[key] = (tensor / factor).to(dtype)
            layer = key.removesuffix("weight")
            stored[layer + scale] = factor
            stored[layer + {"scale_weight": "scale_input", "weight_scale": "input_scale"}[scale]] = torch.tensor(0.5)
            tensors[key] = stored[key].float() * factor
    stored = ldm(stored, prefix)
    if marked:
        stored[f"{prefix}scaled_fp8"] = torch.empty(0).to(dtype)
    layout = file(where, model, stored, name, "f32", "8-bit floats with a scale", single=False)
    layout.load = lambda: tensors
    return layout


def layouts():
    """Name and writer of each layout; a writer takes a folder."""
    f8 = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
    plain = {"use_quant_conv": False, "use_post_quant_conv": False}
    yield "folder, safetensors", lambda at: folder(at, vae())
    yield "folder, safetensors, three levels", lambda at: folder(at, vae(3, layers_per_block=2))
    yield "folder, safetensors, no quant convs, no attention", lambda at: folder(at, vae(mid_block_add_attention=False, **plain))
    yield "folder, bin", lambda at: folder(at, vae(), safe_serialization=False)
    for dtype in ("f16", "bf16"):
        yield f"folder, safetensors, {dtype}", lambda at, dtype=dtype: folder(at, vae(), dtype)
        yield f"folder, bin, {dtype}", lambda at, dtype=dtype: folder(at, vae(), dtype, safe_serialization=False)
    yield "folder, variant fp16, safetensors", lambda at: folder(at, vae(), "f16", "fp16")
    yield "folder, variant fp16, bin", lambda at: folder(at, vae(), "f16", "fp16", safe_serialization=False)
    yield "folder, variant beside plain", lambda at: variant_beside_plain(at, vae())
    yield "folder, variant missing", lambda at: missing_variant(at, vae())
    yield "folder, sharded safetensors", lambda at: folder(at, vae(), max_shard_size="4KB")
    yield "folder, sharded bin", lambda at: folder(at, vae(), max_shard_size="4KB", safe_serialization=False)
    yield "folder, sharded variant", lambda at: folder(at, vae(), "f16", "fp16", max_shard_size="4KB")
    yield "folder, sharded variant, older index", lambda at: old_variant_index(at, vae())
    yield "folder, old attention names, safetensors", lambda at: old_names_folder(at, vae())
    yield "folder, old attention names, bin before 1.6", lambda at: old_names_folder(at, vae(), True)
    for ending in ("safetensors", "bin", "pt", "ckpt"):
        yield f"file, diffusers names, {ending}", lambda at, ending=ending: diffusers_file(at, vae(), "f32", f"vae.{ending}")
        for prefix in ("", "vae.", "first_stage_model."):
            yield (
                f"file, LDM names behind {prefix or 'nothing'}, {ending}",
                lambda at, ending=ending, prefix=prefix: ldm_file(at, vae(3), "f16", f"vae.{ending}", prefix),
            )
        yield f"full checkpoint, {ending}", lambda at, ending=ending: full_checkpoint(at, vae(), f"model.{ending}", "f16")
    yield "file, diffusers names, pt before 1.6", lambda at: diffusers_file(at, vae(), "bf16", "vae.pt", legacy=True)
    yield "full checkpoint, ckpt before 1.6", lambda at: full_checkpoint(at, vae(), "model.ckpt", legacy=True)
    yield "file, no quant convs, LDM names", lambda at: ldm_file(at, vae(**plain), "f32", "ae.safetensors")
    for ending in ("safetensors", "pt"):
        yield f"file, f64, {ending}", lambda at, ending=ending: diffusers_file(at, vae(), "f64", f"vae.{ending}", back="f32")
        for name, dtype in f8.items():
            yield (
                f"file, 8-bit {name}, {ending}",
                lambda at, ending=ending, dtype=dtype: eight_bit_file(at, vae(), dtype, f"vae.{ending}"),
            )
        for scale in ("scale_weight", "weight_scale"):
            for name, dtype in f8.items():
                yield (
                    f"file, scaled 8-bit {name}, {scale}, {ending}",
                    lambda at, ending=ending, dtype=dtype, scale=scale: scaled_file(at, vae(), dtype, f"vae.{ending}", scale),
                )
    yield "file, strided tensors", lambda at: strided_file(at, vae())
    yield "file, strided tensors, before 1.6", lambda at: strided_file(at, vae(), legacy=True)
    yield "file, parameters", lambda at: parameters_file(at, vae())
    for name, (wrap, note) in WRAPPERS.items():
        yield f"file, wrapped by {name}, pt", lambda at, wrap=wrap, note=note: wrapped_file(at, vae(), wrap, "model.pt", note)
    for ending in ("pt", "safetensors"):
        compiled, note = WRAPPERS["torch.compile"]
        yield (
            f"file, compiled, {ending}",
            lambda at, ending=ending, compiled=compiled, note=note: wrapped_file(at, vae(), compiled, f"m.{ending}", note),
        )
    yield "file, one of two by its key", lambda at: wrapped_file(at, vae(), trained, "last.ckpt", "under ema are read", "ema")
    yield (
        "file, one of two prefixes by its key",
        lambda at: wrapped_file(
            at,
            vae(),
            lambda model: {f"{part}.{key}": v.clone() for part in ("a", "b.c") for key, v in model.state_dict().items()},
            "both.safetensors",
            "under b.c are read",
            "b.c",
        ),
    )


def job(layout):
    """What asks `examples/checkpoint_dump.rs` for it."""
    return {"repo": os.fspath(layout.repo), **layout.options}
