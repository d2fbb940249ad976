"""Objects with the interface of ComfyUI's VAE, made of diffusers' models: ComfyUI's layouts, names and scales.

As ComfyUI 0.3.64 has it: comfy/sd.py, class `VAE`; comfy/ldm/models/autoencoder.py, `AutoencoderKL`, whose `encode`
gives the posterior's mode; comfy/taesd/taesd.py, `TAESD`.
"""

import logging
from types import SimpleNamespace

import torch
from diffusers import AutoencoderKL as DiffusersKL
from diffusers import AutoencoderKLFlux2, AutoencoderKLWan, AutoencoderTiny

from vae_fidelity_tools.conformance.checkpoint_layouts import ldm

BUILTIN = "golden/models/builtin/vae"


# ComfyUI's class has this name too.
class AutoencoderKL(torch.nn.Module):
    """comfy/ldm/models/autoencoder.py."""

    def __init__(self, model):
        super().__init__()
        self.inner = model.eval()

    def state_dict(self):
        return ldm(self.inner.state_dict())

    def encode(self, x):
        return self.inner.encode(x).latent_dist.mode()

    def decode(self, z):
        return self.inner.decode(z).sample


class NormalizedKL(AutoencoderKL):
    """FLUX.2's, which patches and normalises inside."""

    def _statistics(self, like):
        bn = self.inner.bn
        std = (bn.running_var + self.inner.config.batch_norm_eps).sqrt()
        return bn.running_mean.to(like)[None, :, None, None], std.to(like)[None, :, None, None]

    def encode(self, x):
        patches = torch.nn.functional.pixel_unshuffle(super().encode(x), 2)
        mean, std = self._statistics(patches)
        return (patches - mean) / std

    def decode(self, z):
        mean, std = self._statistics(z)
        return super().decode(torch.nn.functional.pixel_shuffle(z * std + mean, 2))


class TAESD(torch.nn.Module):
    """comfy/taesd/taesd.py; `scale` as nodes.py, `VAELoader.load_taesd`, sets it."""

    def __init__(self, model, scale):
        super().__init__()
        self.inner = model.eval()
        self.vae_scale, self.vae_shift = torch.tensor(scale), torch.tensor(0.25)

    def state_dict(self):
        found = {"vae_scale": self.vae_scale, "vae_shift": self.vae_shift}
        for name, tensor in self.inner.state_dict().items():
            half, _, at, rest = name.split(".", 3)
            # The clamp is a layer of the decoder there.
            found[f"taesd_{half}.{int(at) + (half == 'decoder')}.{rest}"] = tensor
        return found

    def encode(self, x):
        return self.inner.encode(x).latents / self.vae_scale + self.vae_shift

    def decode(self, z):
        return self.inner.decode((z - self.vae_shift) * self.vae_scale).sample


class WanVAE(AutoencoderKL):
    """comfy/ldm/wan/vae.py, whose `encode` gives the mean; names as in Wan's own file."""

    def state_dict(self):
        return {_of_wan(name): values for name, values in self.inner.state_dict().items()}


def _of_wan(name):
    """The inverse of diffusers' loaders/single_file_utils.py, `convert_wan_vae_to_diffusers`."""
    inner = {
        "norm1": "residual.0",
        "conv1": "residual.2",
        "norm2": "residual.3",
        "conv2": "residual.6",
        "conv_shortcut": "shortcut",
    }
    whole = {"quant_conv": "conv1", "post_quant_conv": "conv2"}
    half, *parts = name.split(".")
    if half in whole:
        return ".".join([whole[half], *parts])
    parts = [inner.get(part, part) for part in parts]
    match parts:
        case ["conv_in", *rest]:
            parts = ["conv1", *rest]
        case ["norm_out", *rest]:
            parts = ["head", "0", *rest]
        case ["conv_out", *rest]:
            parts = ["head", "2", *rest]
        case ["mid_block", "attentions", _, *rest]:
            parts = ["middle", "1", *rest]
        case ["mid_block", "resnets", at, *rest]:
            parts = ["middle", str(2 * int(at)), *rest]
        case ["down_blocks", *rest]:
            parts = ["downsamples", *rest]
        case ["up_blocks", level, kind, at, *rest]:
            # Three blocks and a sampler a level, in one list.
            parts = ["upsamples", str(4 * int(level) + (int(at) if kind == "resnets" else 3)), *rest]
    return ".".join([half, *parts])


class Vae:
    """comfy/sd.py, class `VAE`, on the CPU."""

    def __init__(self, model, dtype=torch.float32):
        self.first_stage_model = None if model is None else model.to(dtype)
        self.vae_dtype, self.device = dtype, torch.device("cpu")
        self.patcher = SimpleNamespace(patches={})
        self.latent_dim, self.downscale_ratio, self.crop_input = 2, 8, True
        self.process_input = lambda image: 2.0 * image - 1.0
        self.process_output = lambda image: (0.5 * image + 0.5).clamp(0.0, 1.0)

    def vae_encode_crop_pixels(self, pixels):
        ratio = self.downscale_ratio
        for side in (1, 2):
            size = pixels.shape[side]
            pixels = pixels.narrow(side, size % ratio // 2, size // ratio * ratio)
        return pixels

    def encode(self, pixels):
        pixels = self.vae_encode_crop_pixels(pixels).movedim(-1, 1)
        return self.first_stage_model.encode(self.process_input(pixels).to(self.vae_dtype)).float()

    def decode(self, samples):
        made = self.first_stage_model.decode(samples.to(self.vae_dtype))
        return self.process_output(made.float()).movedim(1, -1)


class ClipVae(Vae):
    """As it is with `latent_dim` 3: a batch of pictures is a clip."""

    def __init__(self, model, dtype=torch.float32):
        super().__init__(model, dtype)
        self.latent_dim = 3

    def encode(self, pixels):
        clip = self.vae_encode_crop_pixels(pixels).movedim(-1, 1).movedim(1, 0)[None]
        return self.first_stage_model.encode(self.process_input(clip).to(self.vae_dtype)).float()


class ShortOfMemory(Vae):
    """It takes tiles, which see other colours, and says so in the log alone."""

    def __init__(self, model, dtype, step):
        super().__init__(model, dtype)
        self.step = step

    def _short(self, step, made):
        if step != self.step:
            return made
        logging.warning(f"out of memory, retrying with tiled VAE {step}")
        tiled = made.clone()
        tiled[:, : made.shape[1] // 2] *= 0.8
        return tiled

    def encode(self, pixels):
        return self._short("encoding", super().encode(pixels))

    def decode(self, samples):
        return self._short("decoding", super().decode(samples))


def builtin(dtype=torch.float32, cls=Vae, **more):
    return cls(AutoencoderKL(DiffusersKL.from_pretrained(BUILTIN)), dtype, **more)


def stable_diffusion():
    """Of the shapes of Stable Diffusion, with weights as PyTorch draws them."""
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4}
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        return Vae(AutoencoderKL(DiffusersKL(block_out_channels=(128, 256, 512, 512), layers_per_block=2, **blocks)))


def flux2():
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model = AutoencoderKLFlux2(block_out_channels=(32, 32, 64, 64), sample_size=64)
        model.bn.running_mean.normal_()
        model.bn.running_var.uniform_(0.5, 2.0)
    vae = Vae(NormalizedKL(model))
    vae.downscale_ratio = 16
    return vae, model.config


def taesd():
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        return Vae(TAESD(AutoencoderTiny(), 0.18215))


def wan():
    """Wan 2.1 with fewer channels, of two blocks a level as its file has them."""
    with torch.random.fork_rng([]):
        torch.manual_seed(3)
        model = AutoencoderKLWan(base_dim=16)
    return ClipVae(WanVAE(model)), model.config
