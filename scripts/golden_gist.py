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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # goldens are the CPU's: the gist would pick a GPU
os.environ["HF_HUB_OFFLINE"] = "1"  # every model is a local folder
sys.dont_write_bytecode = True  # leave nothing beside the gist

import numpy as np
import torch
from diffusers.models.autoencoders import vae as diffusers_vae
from diffusers.utils import logging as diffusers_logging
from PIL import Image

import golden_blocks
from golden_trace import recorded

diffusers_logging.set_verbosity_error()  # or each load advises installing accelerate
diffusers_logging.disable_progress_bar()
warnings.filterwarnings("ignore", "Palette images with Transparency")  # that is the case's point

GIST_SHA256 = "5b466e037587f9cb339c0f6891f2775061f017347e141f33705e324e644f8049"


class WrongGist(Exception):
    """The file is not the gist."""


@dataclass
class Run:
    """Everything one run of the gist's functions passed along; tensors are f32 numpy arrays."""

    sample: np.ndarray
    moments: np.ndarray
    latents: np.ndarray
    decoded: np.ndarray
    picture: Image.Image
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


def load_vae(gist, repository):
    device, dtype = gist.pick_device_and_dtype()
    return gist.load_vae(str(repository), device=device, dtype=dtype)


def run(gist, vae, image, size=None, seed=None, trace=False, start=None, blocks=False):
    """One trip, in the order of the gist's main(): `size` is (width, height), a seed samples.

    With `start`, another Run, noise and latents are taken from that one, as a case is judged.
    """
    recording = recorded if trace else lambda _: nullcontext()
    keeping = golden_blocks.recorded if blocks else lambda _: nullcontext()
    device, dtype = gist.pick_device_and_dtype()
    picture = Image.open(image)
    sample = gist.image_to_tensor(picture, size, device=device, dtype=dtype)
    with observed_encode(vae, start and start.noise) as seen, recording(vae) as encode_trace, keeping(vae) as encode_blocks:
        latents = gist.encode_to_latents(vae, sample, sample=seed is not None, seed=seed)
    with recording(vae) as decode_trace, keeping(vae) as decode_blocks:
        decoded = gist.decode_from_latents(vae, torch.from_numpy(start.latents) if start else latents)
    return Run(
        sample=array(sample),
        moments=array(seen["moments"]),
        latents=array(latents),
        decoded=array(decoded),
        picture=gist.tensor_to_image(decoded),
        noise=array(seen["noise"]) if "noise" in seen else None,
        trace={"encode": encode_trace, "decode": decode_trace} if trace else {},
        blocks={"encode": encode_blocks, "decode": decode_blocks} if blocks else {},
    )


def array(tensor):
    return np.ascontiguousarray(tensor.detach().cpu().numpy())


@contextmanager
def observed_encode(vae, noise=None):
    """Keeps the posterior's parameters, and the noise that a sample is drawn with (or replaces it)."""
    seen = {}
    encode, randn_tensor = vae.encode, diffusers_vae.randn_tensor

    def observing_encode(*args, **kwargs):
        output = encode(*args, **kwargs)
        seen["moments"] = output.latent_dist.parameters.clone()
        return output

    def observing_randn(*args, **kwargs):
        drawn = randn_tensor(*args, **kwargs)
        seen["noise"] = drawn.clone()
        return drawn if noise is None else torch.from_numpy(noise)

    vae.encode, diffusers_vae.randn_tensor = observing_encode, observing_randn
    try:
        yield seen
    finally:
        del vae.encode
        diffusers_vae.randn_tensor = randn_tensor


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
    processes.set_forkserver_preload(["golden_gist", "diffusers.models.autoencoders.autoencoder_kl"])
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
