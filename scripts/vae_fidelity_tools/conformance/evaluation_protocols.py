"""The steps of the published scripts that `evaluate` has as protocols: transforms, roundings and metrics, in Python.

Each metric is the library's that the script calls, called as it calls it.
"""

import lpips
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image.lpips import _NoTrainLpips
from torchmetrics.image import StructuralSimilarityIndexMeasure

from vae_fidelity_tools.conformance import perceptual_weights


def center_crop_arr(picture, size):
    """ADM's, as LlamaGen and DC-Gen have it."""
    while min(*picture.size) >= 2 * size:
        picture = picture.resize(tuple(side // 2 for side in picture.size), resample=Image.Resampling.BOX)
    scale = size / min(*picture.size)
    picture = picture.resize(tuple(round(side * scale) for side in picture.size), resample=Image.Resampling.BICUBIC)
    array = np.array(picture)
    top, left = (array.shape[0] - size) // 2, (array.shape[1] - size) // 2
    return Image.fromarray(array[top : top + size, left : left + size])


def short_side(width, height, size):
    """torchvision's _compute_resized_output_size, (width, height)."""
    short, long = min(width, height), max(width, height)
    new = int(size * long / short)
    return (size, new) if width <= height else (new, size)


def centered(side, size):
    return int(round((side - size) / 2.0))


def resize_crop(picture, size, filter):
    """torchvision's Resize and CenterCrop of a Pillow picture."""
    picture = picture.resize(short_side(*picture.size, size), filter)
    left, top = centered(picture.width, size), centered(picture.height, size)
    return picture.crop((left, top, left + size, top + size))


def to_tensor(picture):
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255)[None]


def resize_crop_tensor(picture, size):
    """torchvision's ToTensor, Resize with antialias, CenterCrop."""
    tensor = to_tensor(picture)
    width, height = short_side(*picture.size, size)
    if (height, width) != tuple(tensor.shape[2:]):
        tensor = F.interpolate(tensor, size=(height, width), mode="bilinear", align_corners=False, antialias=True)
    top, left = centered(height, size), centered(width, size)
    return tensor[:, :, top : top + size, left : left + size]


def as_check(picture):
    return picture.resize(tuple(max(8, side // 8 * 8) for side in picture.size), Image.Resampling.BICUBIC)


def normalize(tensor):
    return (tensor - 0.5) / 0.5


def levels(tensor, half_up=True):
    """(H, W, 3) in 8 bits."""
    values = 127.5 * tensor + 128.0 if half_up else (tensor / 2 + 0.5).clamp(0, 1) * 255
    values = values.clamp(0, 255) if half_up else values.round()
    return values.permute(0, 2, 3, 1).to(torch.uint8).numpy()[0]


def of_llamagen(x, y):
    restored, truth = levels(y).astype(np.float32) / 255.0, (x.permute(0, 2, 3, 1).numpy()[0] + 1.0) / 2.0
    return (
        peak_signal_noise_ratio(restored, truth, data_range=1),
        structural_similarity(restored, truth, data_range=2.0, channel_axis=-1),
    )


def of_lightningdit(x, y):
    mse = torch.mean((torch.from_numpy(levels(x)).float() - torch.from_numpy(levels(y)).float()) ** 2)
    ssim = StructuralSimilarityIndexMeasure(data_range=(-1.0, 1.0))
    return 20 * torch.log10(255.0 / torch.sqrt(mse)).item(), ssim(y, x).item()


def dc_ae_levels(tensor):
    """(1, 3, H, W) in 8 bits."""
    return ((255 * (tensor * 0.5 + 0.5)) + 0.5).clamp(0, 255).to(torch.uint8)


def of_dc_ae(x, y):
    a, b = dc_ae_levels(x), dc_ae_levels(y)
    mse = (a.float() - b.float()).square().mean()
    ssim = StructuralSimilarityIndexMeasure(data_range=(0.0, 255.0))
    ssim.update(a, b)
    return (10 * torch.log10(255.0**2 / mse)).item(), ssim.compute().item()


def of_lavinal712(x, y):
    a, b = (((tensor.permute(0, 2, 3, 1).numpy()[0] + 1.0) / 2.0).clip(0.0, 1.0) for tensor in (x, y))
    return (
        peak_signal_noise_ratio(a, b, data_range=1.0),
        structural_similarity(a, b, channel_axis=-1, data_range=1.0),
    )


def of_own(x, y):
    a, b = levels(x, half_up=False), levels(y, half_up=False)
    return (
        peak_signal_noise_ratio(a, b, data_range=255),
        structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2),
    )


def in_unit(tensor):
    """Its levels in [0, 1]."""
    return to_tensor(Image.fromarray(levels(tensor, half_up=False)))


def lpips_of_levels(model, x, y):
    return model(in_unit(x), in_unit(y), normalize=True).item()


def lpips_of_floats(model, x, y):
    return model(x, y).item()


def lpips_of_dc_ae(model, x, y):
    return model(dc_ae_levels(x) / 255, dc_ae_levels(y) / 255, normalize=True).item()


def dists_of_levels(model, x, y):
    return model(in_unit(x), in_unit(y)).item()


NETS = ("alex", "vgg", "squeeze")
# Name: (package, networks, of what).
LPIPS_OF = {
    "vae-fidelity": (lpips.LPIPS, NETS, lpips_of_levels),
    "torch-fidelity": (lpips.LPIPS, NETS, lpips_of_levels),
    "vae-fidelity-256": (lpips.LPIPS, NETS, lpips_of_levels),
    "llamagen": (None, (), None),
    "lightningdit": (lpips.LPIPS, ("vgg",), lpips_of_floats),
    "dc-ae": (_NoTrainLpips, ("alex",), lpips_of_dc_ae),
    "lavinal712": (lpips.LPIPS, ("vgg",), lpips_of_floats),
}


def lpips_models(name, weights):
    """{network: Python's LPIPS} of a protocol."""
    package, nets, _ = LPIPS_OF[name]
    quiet = {"verbose": False} if package is lpips.LPIPS else {}
    return {net: perceptual_weights.load(package(net=net, pnet_rand=True, **quiet), weights) for net in nets}


# How pictures become 8 bits where it is not by 127.5 and half up.
ROUNDED = {
    "vae-fidelity": lambda tensor: levels(tensor, half_up=False),
    "torch-fidelity": lambda tensor: levels(tensor, half_up=False),
    "vae-fidelity-256": lambda tensor: levels(tensor, half_up=False),
    "lavinal712": lambda tensor: (((tensor + 1) / 2).clamp(0, 1) * 255).permute(0, 2, 3, 1).to(torch.uint8).numpy()[0],
}

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
# Name: (transform to [0, 1], whether the posterior is drawn from, PSNR and SSIM).
PROTOCOLS = {
    "vae-fidelity": (lambda p: to_tensor(as_check(p)), False, of_own),
    "torch-fidelity": (lambda p: to_tensor(as_check(p)), False, of_own),
    "vae-fidelity-256": (lambda p: to_tensor(resize_crop(p, 256, BICUBIC)), False, of_own),
    "llamagen": (lambda p: to_tensor(center_crop_arr(p, 256)), True, of_llamagen),
    "lightningdit": (lambda p: resize_crop_tensor(p, 256), True, of_lightningdit),
    "dc-ae": (lambda p: to_tensor(center_crop_arr(p, 512)), True, of_dc_ae),
    "lavinal712": (lambda p: to_tensor(resize_crop(p, 256, BILINEAR)), True, of_lavinal712),
}
