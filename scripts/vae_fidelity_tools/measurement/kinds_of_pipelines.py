"""Kinds of fault in a pipeline around its VAE, from public threads: what `measurement.kinds` plants."""

import io
import struct
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageCms

from vae_fidelity_tools.measurement import mistakes
from vae_fidelity_tools.measurement.mistakes import curve, linear, to_picture


@dataclass
class Kind:
    """`plant(folder, picture, vae, random)` gives the arguments of `check`, one list a run."""

    threads: str
    name: str
    expected: object
    plant: object


KINDS = []


def sample_of(picture):
    return torch.from_numpy(np.asarray(picture, np.float32) / 255).permute(2, 0, 1)[None] * 2 - 1


def encoded(vae, picture):
    with torch.no_grad():
        return vae.encode(sample_of(picture)).latent_dist


def decoded(vae, raw):
    with torch.no_grad():
        return vae.decode(raw).sample


def written(folder, **files):
    """The arguments for each of these alone, as a file of its own."""
    runs = []
    for name, values in files.items():
        flag = {"preprocessed": "--preprocessed", "latents": "--latents", "picture": "--decoded-image"}[name]
        path = folder / (f"{name}.png" if name == "picture" else f"{name}.npy")
        if name == "picture":
            values.save(path)
        else:
            np.save(path, values.numpy())
        runs.append(["--repo", folder / "vae", flag, path])
    return runs


def all_of(folder, vae, picture, raw=None):
    """What a pipeline makes of `picture`, or of the latents `raw` in its place."""
    latents = encoded(vae, picture).mean if raw is None else raw
    saved = to_picture(decoded(vae, latents))
    files = {"latents": latents * vae.config.scaling_factor, "picture": saved}
    if raw is None:
        files = {"preprocessed": sample_of(picture), **files}
    return written(folder, **files)


def kind(threads, *expected, planted=lambda change: change):
    """Adds a kind; `planted` makes its `plant` of the function that this stands above."""

    def add(change):
        KINDS.append(Kind(threads, change.__name__.replace("_", " "), expected, planted(change)))
        return change

    return add


def saved_by(threads, *expected):
    """Planted in the picture that is saved."""

    def planted(change):
        def plant(folder, picture, vae, random):
            return written(folder, picture=change(to_picture(decoded(vae, encoded(vae, picture).mean))))

        return plant

    return kind(threads, *expected, planted=planted)


def fed_by(threads, *expected):
    """Planted in the picture that is fed: it shows in all files."""

    def planted(change):
        return lambda folder, picture, vae, random: all_of(folder, vae, change(picture))

    return kind(threads, *expected, planted=planted)


def latents_by(threads, *expected):
    """Planted in the latents before they are scaled: it shows in them and in the picture."""

    def planted(change):
        return lambda folder, picture, vae, random: all_of(folder, vae, picture, change(encoded(vae, picture)))

    return kind(threads, *expected, planted=planted)


@saved_by("VideoHelperSuite#591", "levels-changed")
def video_range_left_in(saved):
    return curve(saved, lambda x: (16 + 219 * x) / 255)


@saved_by("VideoHelperSuite#529", "levels-changed")
def video_range_expanded_twice(saved):
    return curve(saved, lambda x: (255 * x - 16) / 219)


@saved_by("VideoHelperSuite#591", "colour-matrix")
def BT_601_read_as_709(saved):
    return mistakes.channels_mixed(saved, mistakes.read_by_another_matrix())


@fed_by("VideoHelperSuite#591", "levels-changed")
def video_range_fed(picture):
    return curve(picture, lambda x: (16 + 219 * x) / 255)


@saved_by("A1111#2754", "levels-changed")
def less_contrast(saved):
    return curve(saved, lambda x: 0.5 + 0.9 * (x - 0.5))


@saved_by("A1111#2754", "levels-changed")
def more_contrast(saved):
    return curve(saved, lambda x: 0.5 + 1.1 * (x - 0.5))


@saved_by("A1111#2754", "levels-changed", "gamma-mismatch")
def brighter(saved):
    return curve(saved, lambda x: x * 1.15)


@saved_by("A1111#410", "colour-matrix")
def more_saturated(saved):
    return mistakes.channels_mixed(saved, mistakes.saturation(1.4))


@saved_by("A1111#2754", "colour-matched", "levels-changed")
def matched_to_a_warm_picture(saved):
    levels = np.asarray(saved, np.float64) * [1.12, 1.0, 0.85] + [4, 0, -3]
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


@saved_by("zero123plus#86", "levels-changed", "output-not-denormalised")
def a_pipelines_own_line_left_out(saved):
    return curve(saved, lambda x: ((2 * x - 1) * 0.5 / 0.8 + 1) / 2)


@kind("zero123plus#86", "scaling-factor-mismatch", "shift-factor-dropped")
def a_pipelines_own_scaling_of_latents(folder, picture, vae, _):
    latents = encoded(vae, picture).mean * vae.config.scaling_factor
    return written(folder, latents=(latents - 0.22) * 0.75)


def padded_otherwise(mode):
    def plant(folder, picture, vae, _):
        for module in vae.modules():
            if isinstance(module, torch.nn.Conv2d) and module.padding == (1, 1):
                module.padding_mode, module._reversed_padding_repeated_twice = mode, [1, 1, 1, 1]
        return all_of(folder, vae, picture)[1:]

    return plant


for mode, threads in (("circular", "ComfyUI#646"), ("reflect", "reForge#422"), ("replicate", "sd.cpp#1748")):
    KINDS.append(Kind(threads, f"{mode} padding of every convolution", ("padding-mode",), padded_otherwise(mode)))


@latents_by("flashdreams#338", "layout-scrambled", "latent-patch-order")
def patches_unpacked_by_columns(posterior):
    n, c, h, w = posterior.mean.shape
    return posterior.mean.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 2, 5, 4, 3).reshape(n, c, h, w)


@saved_by("minRF#6", "layout-scrambled", "latent-patch-order")
def pixels_of_2_x_2_by_columns(saved):
    a = np.asarray(saved)
    h, w, c = a.shape
    return Image.fromarray(a.reshape(h // 2, 2, w // 2, 2, c).transpose(0, 3, 2, 1, 4).reshape(h, w, c).copy())


def noise(like):
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(3))


@latents_by("diffusers#13657", "posterior-noise")
def log_variance_dropped(posterior):
    return posterior.mean + noise(posterior.mean)


@kind("keras#3283", "posterior-noise", "sample-vs-mode")
def variance_taken_for_the_deviation(folder, picture, vae, _):
    posterior = encoded(vae, picture)
    latents = posterior.mean + posterior.var * noise(posterior.mean)
    return written(folder, latents=latents * vae.config.scaling_factor)


@kind("MONAI#8413", "posterior-noise", "sample-vs-mode")
def mean_and_deviation_added(folder, picture, vae, _):
    posterior = encoded(vae, picture)
    return written(folder, latents=(posterior.mean + posterior.std) * vae.config.scaling_factor)


@kind("HunyuanVideoWrapper#340", "scaling-factor-mismatch")
def scaled_at_every_run(folder, picture, vae, _):
    return written(folder, latents=encoded(vae, picture).mean * vae.config.scaling_factor**3)


@fed_by("AnimaLoraStudio#176", "exif-ignored")
def flipped_at_random_before_caching(picture):
    return picture.transpose(Image.FLIP_LEFT_RIGHT)


@fed_by("kohya_ss#1629", "gamma-mismatch")
def a_power_after_caching(picture):
    return curve(picture, lambda x: x**0.6)


@fed_by("kohya_ss#1629", "edited-region")
def a_part_pasted_in_after_caching(picture):
    edited = picture.copy()
    edited.paste((250, 240, 20), (80, 64, 176, 160))
    return edited


def composited(colour):
    def plant(folder, picture, vae, _):
        alpha = Image.radial_gradient("L").resize(picture.size).point(lambda x: 255 if x < 120 else 0)
        cut_out = picture.convert("RGBA")
        cut_out.putalpha(alpha)
        cut_out.save(folder / "photo.png")
        return all_of(folder, vae, Image.composite(picture, Image.new("RGB", picture.size, colour), alpha))

    return plant


for colour in ("white", "black"):
    KINDS.append(Kind("sd-scripts#1269", f"alpha on {colour}", ("alpha-mismatch",), composited(colour)))


@kind("vision#2218", "bit-depth-mismatch")
def grey_of_16_bits_scaled(folder, picture, vae, _):
    # Beyond 255 Pillow clips, which leaves a picture of white.
    grey = np.asarray(picture.convert("L"), np.uint16) * 3
    Image.fromarray(grey).save(folder / "photo.png")
    return all_of(folder, vae, Image.fromarray((grey / 65535 * 255).round().astype(np.uint8)).convert("RGB"))


def display_p3():
    """sRGB's profile with the primaries of Display P3, adapted to D50 (ICC.1, s15Fixed16)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for tag in range(struct.unpack_from(">I", profile, 128)[0]):
        signature, offset, _ = struct.unpack_from(">4sII", profile, 132 + 12 * tag)
        if signature in primaries:
            struct.pack_into(">3i", profile, offset + 8, *(round(65536 * x) for x in primaries[signature]))
    return bytes(profile)


@kind("chaiNNer#2599", "colour-profile-mismatch")
def a_profile_applied(folder, picture, vae, _):
    profile = display_p3()
    picture.save(folder / "photo.png", icc_profile=profile)
    srgb = ImageCms.createProfile("sRGB")
    return all_of(folder, vae, ImageCms.profileToProfile(picture, io.BytesIO(profile), srgb, outputMode="RGB"))


@kind("OneTrainer#646", "resize-mismatch")
def cropped_in_the_middle(folder, picture, vae, _):
    wide = picture.resize((400, 256), Image.LANCZOS)
    wide.save(folder / "photo.png")
    runs = all_of(folder, vae, wide.crop((72, 0, 328, 256)))
    return [[*run, "--width", "256", "--height", "256"] for run in runs]


@fed_by("HQ-Image-Save#6", "gamma-mismatch")
def linear_light_fed(picture):
    return curve(picture, linear)


@saved_by("HQ-Image-Save#21", "gamma-mismatch")
def linear_light_saved(saved):
    return curve(saved, linear)


@kind("forge#1846", "preview-decoder")
def the_preview_was_kept(folder, picture, vae, random):
    raw = encoded(vae, picture).mean
    with torch.no_grad():
        preview = mistakes.the_preview_was_kept(vae, raw, random)
    return written(folder, picture=to_picture(preview))


@kind("taesd#3", "scaling-factor-mismatch", "shift-factor-dropped", "latents-differ", "input-not-normalised")
def scaled_to_8_bits_as_TAESD_does(folder, picture, vae, _):
    latents = encoded(vae, picture).mean * vae.config.scaling_factor
    return written(folder, latents=(latents / 6 + 0.5).clamp(0, 1))
