"""The autoencoder classes that are run, each as its own pipeline uses it.

The gist loads and scales `AutoencoderKL`. For another class its functions stay around the model
(picture to tensor, tensor to picture), and loader and scaling are the class's own: those of the
first pipeline that was published for it. `Flux2Pipeline` cannot be imported without transformers, so
its functions are taken out of its file as they stand there.
"""

import ast
import importlib.util
import json
from pathlib import Path

import torch
from diffusers import (
    AsymmetricAutoencoderKL,
    AutoencoderDC,
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLHunyuanImage,
    AutoencoderKLQwenImage,
    AutoencoderKLQwenImage21,
    AutoencoderKLWan,
    AutoencoderTiny,
)

FLUX2_PIPELINE = "pipelines/flux2/pipeline_flux2.py"


class Kl:
    """`AutoencoderKL`: the gist itself."""

    diffusers_class = AutoencoderKL
    multiple_of = 8  # the gist's own
    deterministic = False

    def __init__(self, gist):
        self.gist = gist

    def load(self, repository, device, dtype):
        return self.gist.load_vae(str(repository), device=device, dtype=dtype)

    def encode(self, vae, sample, seed):
        return self.gist.encode_to_latents(vae, sample, sample=seed is not None, seed=seed)

    def decode(self, vae, latents):
        return self.gist.decode_from_latents(vae, latents)


class Flux2:
    """`AutoencoderKLFlux2`: 2 x 2 patches and the statistics in the checkpoint."""

    diffusers_class = AutoencoderKLFlux2
    multiple_of = 16  # patches of what is 8 times smaller
    deterministic = False

    def __init__(self, gist):
        self.pipeline = functions_of(FLUX2_PIPELINE, "_patchify_latents", "_unpatchify_latents")

    def load(self, repository, device, dtype):
        vae = AutoencoderKLFlux2.from_pretrained(str(repository), subfolder="vae", torch_dtype=dtype)
        return vae.to(device).eval()

    def statistics(self, vae, latents):
        mean = vae.bn.running_mean.view(1, -1, 1, 1).to(latents.device, latents.dtype)
        std = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).to(latents.device, latents.dtype)
        return mean, std

    def encode(self, vae, sample, seed):
        generator = None if seed is None else torch.Generator(device=sample.device).manual_seed(seed)
        with torch.no_grad():
            posterior = vae.encode(sample).latent_dist
            latents = posterior.mode() if seed is None else posterior.sample(generator=generator)
            latents = self.pipeline["_patchify_latents"](latents)
            mean, std = self.statistics(vae, latents)
            return (latents - mean) / std

    def decode(self, vae, latents):
        with torch.no_grad():
            mean, std = self.statistics(vae, latents)
            latents = self.pipeline["_unpatchify_latents"](latents * std + mean)
            return vae.decode(latents).sample


class Tiny:
    """`AutoencoderTiny`: no posterior, so that encoding is its own; decoding is the gist's function."""

    diffusers_class = AutoencoderTiny
    multiple_of = 8
    deterministic = True
    # For the manifest of its goldens: which functions are the gist's, and which are not.
    functions = {
        "image_to_tensor, decode_from_latents, tensor_to_image": "the gist's",
        "load": "AutoencoderTiny.from_pretrained, since the gist's load_vae is AutoencoderKL's",
        "encode": "vae.encode(sample).latents, contiguous, times vae.config.scaling_factor, since there is no posterior",
    }

    def __init__(self, gist):
        self.gist = gist

    def load(self, repository, device, dtype):
        vae = AutoencoderTiny.from_pretrained(str(repository), subfolder="vae", torch_dtype=dtype)
        return vae.to(device).eval()

    def encode(self, vae, sample, seed):
        assert seed is None, "there is nothing to draw from"
        with torch.no_grad():
            return vae.encode(sample).latents.contiguous() * vae.config.scaling_factor

    def decode(self, vae, latents):
        return self.gist.decode_from_latents(vae, latents)


class Asymmetric(Kl):
    """`AsymmetricAutoencoderKL` without a mask: the gist's functions, but for its loader."""

    diffusers_class = AsymmetricAutoencoderKL
    functions = {
        "image_to_tensor, encode_to_latents, decode_from_latents, tensor_to_image": "the gist's",
        "load": "AsymmetricAutoencoderKL.from_pretrained, since the gist's load_vae is AutoencoderKL's",
    }

    def load(self, repository, device, dtype):
        vae = AsymmetricAutoencoderKL.from_pretrained(str(repository), subfolder="vae", torch_dtype=dtype)
        return vae.to(device).eval()


def to_clip(images):
    """Images (T, C, H, W) as the frames of one clip (1, C, T, H, W)."""
    return images.transpose(0, 1).contiguous().unsqueeze(0)


def to_images(clips):
    """The images (N, C, H, W) of clips (N, C, 1, H, W), or the frames (T, C, H, W) of a single one (1, C, T, H, W)."""
    return clips[:, :, 0].contiguous() if clips.shape[2] == 1 else clips[0].transpose(0, 1).contiguous()


class Wan:
    """`AutoencoderKLWan`, given a clip, of one frame where it is a picture: mean and deviation of each channel.

    As `WanImageToVideoPipeline` has it; `prepare_latents` and `__call__` cannot be imported without
    transformers, and are no functions of the VAE alone, so that their steps stand here.
    """

    diffusers_class = AutoencoderKLWan
    multiple_of = 8
    deterministic = False
    functions = {
        "image_to_tensor, tensor_to_image": "the gist's",
        "load": "from_pretrained of AutoencoderKLWan, AutoencoderKLQwenImage or AutoencoderKLQwenImage21",
        "encode": "of a clip, of one frame unless the case has more, as WanImageToVideoPipeline.prepare_latents scales it: "
        "(z - mean) * (1 / std); "
        "AutoencoderKLQwenImage21 as QwenImage21Pipeline._encode_vae_image: (z - mean) / std",
        "decode": "as WanPipeline.__call__ undoes it: z / (1 / std) + mean; AutoencoderKLQwenImage21 as "
        "QwenImage21Pipeline.__call__: z * std + mean",
    }

    def __init__(self, gist):
        self.gist = gist

    def load(self, repository, device, dtype):
        vae = self.diffusers_class.from_pretrained(str(repository), subfolder="vae", torch_dtype=dtype)
        return vae.to(device).eval()

    def statistics(self, vae, latents):
        """Mean, and one over the standard deviation, each rounded to the latents' dtype."""
        shape = (1, vae.config.z_dim, 1, 1, 1)
        mean = torch.tensor(vae.config.latents_mean).view(shape).to(latents.device, latents.dtype)
        std = 1.0 / torch.tensor(vae.config.latents_std).view(shape).to(latents.device, latents.dtype)
        return mean, std

    def encode(self, vae, sample, seed, clip=False):
        generator = None if seed is None else torch.Generator(device=sample.device).manual_seed(seed)
        with torch.no_grad():
            posterior = vae.encode(to_clip(sample) if clip else sample.unsqueeze(2)).latent_dist
            latents = posterior.mode() if seed is None else posterior.sample(generator=generator)
            return to_images(self.scaled(vae, latents))

    def decode(self, vae, latents, clip=False):
        with torch.no_grad():
            return to_images(vae.decode(self.unscaled(vae, to_clip(latents) if clip else latents.unsqueeze(2))).sample)

    def scaled(self, vae, latents):
        mean, std = self.statistics(vae, latents)
        return (latents - mean) * std

    def unscaled(self, vae, latents):
        mean, std = self.statistics(vae, latents)
        return latents / std + mean


class QwenImage(Wan):
    """`AutoencoderKLQwenImage`, as `QwenImageImg2ImgPipeline` has it: the steps of Wan's."""

    diffusers_class = AutoencoderKLQwenImage


class QwenImage21(Wan):
    """`AutoencoderKLQwenImage21`, as `QwenImage21Pipeline` has it: divided by the deviation, and multiplied back.

    `_encode_vae_image` and `__call__` cannot be imported without transformers either.
    """

    diffusers_class = AutoencoderKLQwenImage21
    multiple_of = 16

    def statistics(self, vae, latents):
        """Mean and standard deviation, each rounded to the latents' dtype."""
        shape = (1, vae.config.z_dim, 1, 1, 1)
        numbers = (vae.config.latents_mean, vae.config.latents_std)
        return [torch.tensor(row).view(shape).to(latents.device, latents.dtype) for row in numbers]

    def scaled(self, vae, latents):
        mean, std = self.statistics(vae, latents)
        return (latents - mean) / std

    def unscaled(self, vae, latents):
        mean, std = self.statistics(vae, latents)
        return latents * std + mean


class Dc:
    """`AutoencoderDC`, as `SanaPipeline` has it: no posterior, and a factor.

    The encoder's latents lie channels last, and decoding those rounds otherwise than decoding what a file holds.
    """

    diffusers_class = AutoencoderDC
    multiple_of = 32  # of the published ones for Sana; those of f64 and f128 need more
    deterministic = True
    functions = {
        "image_to_tensor, decode_from_latents, tensor_to_image": "the gist's",
        "load": "AutoencoderDC.from_pretrained, since the gist's load_vae is AutoencoderKL's",
        "encode": "vae.encode(sample).latent, contiguous, times vae.config.scaling_factor, since there is no posterior",
    }

    def __init__(self, gist):
        self.gist = gist

    def load(self, repository, device, dtype):
        vae = AutoencoderDC.from_pretrained(str(repository), subfolder="vae", torch_dtype=dtype)
        return vae.to(device).eval()

    def encode(self, vae, sample, seed):
        assert seed is None, "there is nothing to draw from"
        with torch.no_grad():
            return vae.encode(sample).latent.contiguous() * vae.config.scaling_factor

    def decode(self, vae, latents):
        return self.gist.decode_from_latents(vae, latents)


class HunyuanImage:
    """`AutoencoderKLHunyuanImage`: as `HunyuanImagePipeline` undoes it, a factor.

    The encoder's latents lie channels last, and decoding those rounds otherwise than decoding what a file holds.
    """

    diffusers_class = AutoencoderKLHunyuanImage
    multiple_of = 32  # of the published one
    deterministic = False
    functions = {
        "image_to_tensor, decode_from_latents, tensor_to_image": "the gist's",
        "load": "AutoencoderKLHunyuanImage.from_pretrained, since the gist's load_vae is AutoencoderKL's",
        "encode": "the gist's encode_to_latents, whose latents are cloned in torch.contiguous_format; never in tiles",
    }

    def __init__(self, gist):
        self.gist = gist

    def load(self, repository, device, dtype):
        vae = AutoencoderKLHunyuanImage.from_pretrained(str(repository), subfolder="vae", torch_dtype=dtype)
        return vae.to(device).eval()

    def encode(self, vae, sample, seed):
        tiling, vae.use_tiling = vae.use_tiling, False  # tiled_encode fails: it expects clips
        latents = self.gist.encode_to_latents(vae, sample, sample=seed is not None, seed=seed)
        vae.use_tiling = tiling
        # Of one pixel contiguous() would leave the strides as they are.
        return latents.clone(memory_format=torch.contiguous_format)

    def decode(self, vae, latents):
        return self.gist.decode_from_latents(vae, latents)


CLASSES = {
    "AutoencoderDC": Dc,
    "AutoencoderKL": Kl,
    "AutoencoderKLFlux2": Flux2,
    "AutoencoderKLHunyuanImage": HunyuanImage,
    "AutoencoderTiny": Tiny,
    "AsymmetricAutoencoderKL": Asymmetric,
    "AutoencoderKLWan": Wan,
    "AutoencoderKLQwenImage": QwenImage,
    "AutoencoderKLQwenImage21": QwenImage21,
}


def class_of(folder):
    """The class of the model in `folder`/vae."""
    return class_of_folder(Path(folder) / "vae")


def class_of_folder(vae):
    """The class of the model whose config.json lies in `vae`."""
    config = json.loads((Path(vae) / "config.json").read_text())
    return CLASSES[config.get("_class_name", "AutoencoderKL")]


def functions_of(file, *names):
    """Static methods of a pipeline in diffusers' `file`, by name, as its source has them."""
    root = Path(importlib.util.find_spec("diffusers").origin).parent
    tree = ast.parse((root / file).read_text())
    found = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in names}
    scope = {"torch": torch}
    for name in names:
        function = found[name]
        function.decorator_list = []
        exec(compile(ast.Module([function], []), file, "exec"), scope)
    return {name: scope[name] for name in names}
