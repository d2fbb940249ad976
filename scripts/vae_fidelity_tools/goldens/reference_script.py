"""Runs the gist: verified, imported unedited, its own functions in its own order, and observed.

Observing changes nothing: hooks read the tensors that pass by. `command_line` runs the same file
as a program, so that the writer can check that both ways give the same picture.
"""

import hashlib
import importlib.util
import io
import multiprocessing
import os
import runpy
import sys
import warnings
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Optional

# Goldens are the CPU's, though the gist would pick a GPU; scripts/cuda/live.py asks for the GPU.
DEVICE = os.environ.get("VAE_FIDELITY_GIST_DEVICE", "cpu")
if DEVICE == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"  # every model is a local folder
sys.dont_write_bytecode = True  # leave nothing beside the gist

import numpy as np
import torch
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.utils import logging as diffusers_logging
from PIL import Image

from vae_fidelity_tools.goldens import block_tensors
from vae_fidelity_tools.goldens.classes import CLASSES, class_of, to_clip, to_images
from vae_fidelity_tools.goldens.recipe import repository
from vae_fidelity_tools.goldens.trace import recorded

diffusers_logging.set_verbosity_error()  # or each load advises installing accelerate
diffusers_logging.disable_progress_bar()
warnings.filterwarnings("ignore", "Palette images with Transparency")  # that is the case's point

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
GIST_SHA256 = "5b466e037587f9cb339c0f6891f2775061f017347e141f33705e324e644f8049"


class WrongGist(Exception):
    """The file is not the gist."""


@dataclass
class Run:
    """Everything one run of the gist's functions passed along; tensors are f32 numpy arrays."""

    sample: np.ndarray
    moments: Optional[np.ndarray]  # of a class with a posterior
    latents: np.ndarray
    decoded: np.ndarray
    picture: Optional[Image.Image]  # of the first picture of a batch; the gist makes none of bf16
    noise: Optional[np.ndarray] = None
    trace: dict = field(default_factory=dict)
    blocks: dict = field(default_factory=dict)


def load_gist(path):
    """The gist as a module; WrongGist if the file is any other."""
    found = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if found != GIST_SHA256:
        raise WrongGist(f"{path}: SHA-256 {found}, expected {GIST_SHA256}; goldens come from the unmodified gist only")
    spec = importlib.util.spec_from_file_location("gist", path)
    gist = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gist)
    return gist


def load_vae(gist, repository, dtype="f32"):
    """The gist's pick is f32 on the CPU, f16 on CUDA; another dtype is given to the same function."""
    device, picked = gist.pick_device_and_dtype()
    assert (device.type, picked) == (DEVICE, {"cpu": torch.float32, "cuda": torch.float16}[DEVICE])
    return class_of(repository)(gist).load(repository, device, DTYPES[dtype])


class Models:
    """The gist's models of the goldens: keeps the last one, since cases of one model follow each other."""

    def __init__(self, gist, temporary, prepare=lambda vae: None):
        """`prepare` is called with each that is loaded; recipes become weights in folder `temporary`."""
        self.gist, self.temporary, self.prepare = gist, temporary, prepare
        self.loaded = self.vae = None

    def of(self, case):
        if (case.model, case.dtype) != self.loaded:
            folder = repository(case.model_folder, self.temporary)
            self.vae = None  # or two full models are in memory
            self.loaded, self.vae = (case.model, case.dtype), load_vae(self.gist, folder, case.dtype)
            self.prepare(self.vae)
        return self.vae


def run(gist, vae, images, case, start=None):
    """One trip of a case, whose pictures lie in folder `images`, in the order of the gist's main().

    With `start`, another Run, noise and latents are taken from that one, as a case is judged; where it has
    no latents, those of this run are decoded.
    """
    recording = recorded if case.trace else lambda _: nullcontext()
    keeping = block_tensors.recorded if case.blocks else lambda _: nullcontext()
    device, dtype = gist.pick_device_and_dtype()[0], DTYPES[case.dtype]
    functions = CLASSES[type(vae).__name__](gist)
    pictures = [Image.open(images / name) for name in (case.image, *case.batch)]
    if has_alpha(vae):
        pictures = [InRgba(picture) for picture in pictures]
    sample = torch.cat([gist.image_to_tensor(picture, case.size, device=device, dtype=dtype) for picture in pictures])
    of_clip = {"clip": True} if case.clip else {}
    with split(vae, case):
        with observed_encode(vae, start and start.noise) as seen, recording(vae) as encode_trace, keeping(vae) as encode_blocks:
            latents = functions.encode(vae, sample, case.seed, **of_clip)
        with recording(vae) as decode_trace, keeping(vae) as decode_blocks:
            given = start is not None and start.latents is not None
            decoded = functions.decode(vae, torch.from_numpy(start.latents).to(device, dtype) if given else latents, **of_clip)
    return Run(
        sample=array(sample),
        moments=array(seen["moments"]) if "moments" in seen else None,
        latents=array(latents),
        decoded=array(decoded),
        picture=to_image(gist, decoded),
        noise=array(seen["noise"]) if "noise" in seen else None,
        trace={"encode": encode_trace, "decode": decode_trace} if case.trace else {},
        blocks={"encode": encode_blocks, "decode": decode_blocks} if case.blocks else {},
    )


def judged(gist, vae, images, case, start):
    """The same as a case is judged: what is decoded are the latents of `start`, as tolerances were measured.

    Pixels of f16 are judged over the whole way, on which the encoder's rounding goes through the decoder.
    """
    steps = run(gist, vae, images, case, start)
    if case.dtype != "f16":
        return steps
    return replace(steps, picture=run(gist, vae, images, case, replace(start, latents=None)).picture)


class InRgba:
    """A picture that the gist's `image_to_tensor` opens in RGBA: what it converts to RGB has its alpha still."""

    def __init__(self, picture):
        self.picture = picture

    def convert(self, mode):
        assert mode == "RGB"
        return self.picture.convert("RGBA")


def has_alpha(vae):
    """Whether pictures go in and come out in RGBA."""
    config = vae.config
    channels = getattr(config, "input_channels", None) or config.in_channels
    return channels == 4 and getattr(config, "out_channels", channels) == 4


def to_image(gist, decoded):
    """The gist's picture, in RGBA of a VAE of RGBA; None for bf16, at which the gist stops: numpy has no such type."""
    if decoded.dtype != torch.bfloat16:
        return gist.tensor_to_image(decoded)
    try:
        gist.tensor_to_image(decoded)
    except TypeError:
        return None
    raise AssertionError("the gist made a picture of bf16: its cases can have one")


def array(tensor):
    """As f32, which holds every f16 and bf16; of a clip, its frames."""
    return np.ascontiguousarray((to_images(tensor) if tensor.ndim == 5 else tensor).detach().cpu().float().numpy())


@contextmanager
def split(vae, case):
    """The VAE with tiling and slicing as the case asks."""
    if not hasattr(vae, "use_tiling"):  # AsymmetricAutoencoderKL has neither
        assert not (case.tiling or case.batch), f"{case.name}: {type(vae).__name__} is not split"
        yield
        return
    sizes = {name: value for name, value in vars(vae).items() if name.startswith("tile_")}
    if case.tiling:
        vae.enable_tiling()
    if case.tile_size and "tile_sample_min_size" in sizes:
        vae.tile_sample_min_size = case.tile_size
        vae.tile_latent_min_size = case.tile_size // 2 ** (len(vae.config.block_out_channels) - 1)
    elif case.tile_size:  # tiles of the Wan family overlap by a quarter, too, and DC's by an eighth
        overlap = case.tile_size // (8 if type(vae).__name__ == "AutoencoderDC" else 4)
        for side in ("height", "width"):
            setattr(vae, f"tile_sample_min_{side}", case.tile_size)
            setattr(vae, f"tile_sample_stride_{side}", case.tile_size - overlap)
            if hasattr(vae, f"tile_latent_min_{side}"):
                setattr(vae, f"tile_latent_min_{side}", case.tile_size // vae.spatial_compression_ratio)
    if case.batch and not case.clip:
        vae.enable_slicing()
    try:
        yield
    finally:
        vae.disable_tiling()
        vae.disable_slicing()
        for name, value in sizes.items():
            setattr(vae, name, value)


@contextmanager
def observed_encode(vae, noise=None):
    """Keeps the posterior's parameters, and the noise that a sample is drawn with (or replaces it)."""
    seen = {}
    encode, randn_tensor = vae.encode, diffusers_vae.randn_tensor

    def observing_encode(*args, **kwargs):
        output = encode(*args, **kwargs)
        if hasattr(output, "latent_dist"):
            seen["moments"] = output.latent_dist.parameters.clone()
        return output

    def observing_randn(*args, **kwargs):
        drawn = randn_tensor(*args, **kwargs)
        seen["noise"] = drawn.clone()
        if noise is None:
            return drawn
        given = torch.from_numpy(noise).to(drawn)
        is_clip = drawn.ndim == 5 and drawn.shape[2] > 1
        return to_clip(given) if is_clip else given.reshape(drawn.shape)

    vae.encode, diffusers_vae.randn_tensor = observing_encode, observing_randn
    try:
        yield seen
    finally:
        del vae.encode
        diffusers_vae.randn_tensor = randn_tensor


def check_command_line(path, repository, images, case, run, temporary):
    """The gist as a program must save the pixels that its functions gave."""
    out = Path(temporary) / "command_line.png"
    saved = command_line(path, repository, images / case.image, case.size, case.seed, out)
    if not np.array_equal(saved, np.array(run.picture)):
        sys.exit(f"{case.name}: the gist's command line saved another picture than its functions gave")


def command_line(path, repository, image, size, seed, out):
    """Runs the gist as a program in the folder of `out`; returns the RGB pixels it saved.

    In a process of its own, forked from one that has imported torch already: the imports would
    take most of the time.
    """
    arguments = ["--image", str(Path(image).resolve()), "--out", out.name, "--repo", str(Path(repository).resolve())]
    if size:
        arguments += ["--width", str(size[0]), "--height", str(size[1])]
    if seed is not None:
        arguments += ["--sample", "--seed", str(seed)]
    os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "diffusers.models.autoencoders.autoencoder_kl"])
    process = processes.Process(target=run_program, args=(str(Path(path).resolve()), arguments, str(out.parent)))
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"the gist's command line failed (see above): {path} {' '.join(arguments)}")
    with Image.open(out) as picture:
        return np.array(picture)


def run_program(path, arguments, folder):
    """As `python path arguments` would in `folder`, but silent unless it fails."""
    os.chdir(folder)
    sys.argv = [path, *arguments]
    with redirect_stdout(io.StringIO()):
        runpy.run_path(path, run_name="__main__")
