"""Mistakes of people's pipelines, each with the codes that name it: what `measurement.pipelines` draws from.

A pipeline has five places: the picture as it is fed, the tensor that the encoder gets, the latents that are
kept, what the decoder makes of them, and the picture that is saved; and before all of them the files of its
VAE (`measurement.mistaken_files`). A mistake changes one place. Strengths come from a seed: each is one that a
person sees.
"""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageFilter


@dataclass(frozen=True)
class Mistake:
    name: str
    place: str
    codes: tuple
    change: object


MISTAKES = []


def mistake(place, *codes):
    def add(change):
        MISTAKES.append(Mistake(change.__name__.replace("_", " "), place, codes, change))
        return change

    return add


def channels_mixed(picture, matrix):
    """Levels through a 3 x 3 matrix."""
    levels = np.asarray(picture, np.float64) @ np.asarray(matrix, np.float64).T
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def curve(picture, function):
    levels = function(np.asarray(picture, np.float64) / 255.0) * 255.0
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def saturation(share):
    grey = np.tile([0.299, 0.587, 0.114], (3, 1))
    return grey + share * (np.eye(3) - grey)


def linear(values):
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def y_cb_cr(kr, kb):
    kg = 1.0 - kr - kb
    return np.array([[kr, kg, kb], [-kr, -kg, 1 - kb], [1 - kr, -kg, -kb]]) / np.array([[1], [2 - 2 * kb], [2 - 2 * kr]])


def read_by_another_matrix():
    return np.linalg.inv(y_cb_cr(0.2126, 0.0722)) @ y_cb_cr(0.299, 0.114)


# The picture as it is fed: (picture, target size, random) to a picture of the target size.


@mistake("fed", "channel-swap")
def opened_by_OpenCV(picture, size, _):
    return Image.fromarray(np.asarray(picture.resize(size, Image.BICUBIC))[:, :, ::-1].copy())


@mistake("fed", "resize-mismatch")
def resized_without_antialiasing(picture, size, _):
    tensor = torch.from_numpy(np.asarray(picture, np.float32).copy()).permute(2, 0, 1)[None]
    tensor = torch.nn.functional.interpolate(tensor, size=size[::-1], mode="bilinear", align_corners=False)
    return Image.fromarray(tensor[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy())


@mistake("fed", "resize-mismatch")
def cropped_in_the_middle(picture, size, _):
    left, top = (picture.width - size[0]) // 2, (picture.height - size[1]) // 2
    return picture.crop((left, top, left + size[0], top + size[1]))


@mistake("fed", "exif-ignored")
def mirrored_by_augmentation(picture, size, _):
    return picture.resize(size, Image.BICUBIC).transpose(Image.Transpose.FLIP_LEFT_RIGHT)


@mistake("fed", "gamma-mismatch")
def linear_light_fed(picture, size, _):
    return curve(picture.resize(size, Image.BICUBIC), linear)


@mistake("fed", "levels-changed")
def video_range_fed(picture, size, _):
    return curve(picture.resize(size, Image.BICUBIC), lambda x: (16 + 219 * x) / 255)


@mistake("fed", "edited-region")
def caption_pasted_before_caching(picture, size, random):
    picture = picture.resize(size, Image.BICUBIC)
    wide, high = size[0] // 3, size[1] // 4
    left, top = random.randrange(size[0] - wide), random.randrange(size[1] - high)
    picture.paste((250, 240, 20), (left, top, left + wide, top + high))
    return picture


@mistake("fed", "preprocessed-differs", "latents-differ", "decoded-differs")
def another_picture_of_the_set(picture, size, _):
    return picture.rotate(37, expand=False).filter(ImageFilter.GaussianBlur(3)).resize(size, Image.BICUBIC)


# The tensor: (sample in [-1, 1], random) to what the encoder gets.


@mistake("sample", "input-not-normalised")
def left_in_0_to_1(sample, _):
    return sample / 2 + 0.5


@mistake("sample", "input-not-normalised")
def left_in_0_to_255(sample, _):
    return (sample / 2 + 0.5) * 255


@mistake("sample", "input-not-normalised")
def normalised_for_a_classifier(sample, _):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((sample / 2 + 0.5) - mean[:, None, None]) / std[:, None, None]


@mistake("sample", "layout-scrambled")
def reshaped_for_permuted(sample, _):
    n, c, h, w = sample.shape
    return sample.permute(0, 2, 3, 1).contiguous().reshape(n, c, h, w)


# Latents: (mean, std, factor, random) to those that are kept and decoded; scaled are mean * factor.


@mistake("latents", "scaling-factor-mismatch")
def never_scaled(mean, std, factor, _):
    return mean


@mistake("latents", "scaling-factor-mismatch")
def scaled_twice(mean, std, factor, _):
    return mean * factor * factor


@mistake("latents", "scaling-factor-mismatch")
def factor_of_another_family(mean, std, factor, random):
    return mean * random.choice([0.18215, 0.13025, 1.5305, 0.3611])


@mistake("latents", "shift-factor-dropped")
def shift_of_another_family(mean, std, factor, random):
    return (mean - random.choice([0.22, 0.5])) * factor


@mistake("latents", "sample-vs-mode")
def drawn_from_the_posterior(mean, std, factor, random):
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(random.randrange(1000)))
    return (mean + std * noise) * factor


@mistake("latents", "posterior-noise")
def log_variance_dropped(mean, std, factor, random):
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(random.randrange(1000)))
    return (mean + noise) * factor


@mistake("latents", "layout-scrambled")
def latents_reshaped_for_permuted(mean, std, factor, _):
    n, c, h, w = mean.shape
    return mean.permute(0, 2, 3, 1).contiguous().reshape(n, c, h, w) * factor


@mistake("latents", "layout-scrambled", "exif-ignored")
def rows_and_columns_exchanged(mean, std, factor, _):
    return mean.transpose(2, 3) * factor


@mistake("latents", "non-finite-output")
def a_row_of_NaN(mean, std, factor, random):
    kept = mean * factor
    kept[:, :, random.randrange(kept.shape[2])] = float("nan")
    return kept


@mistake("latents", "latents-differ", "layout-scrambled", "decoded-differs")
def channels_in_another_order(mean, std, factor, random):
    order = list(range(1, mean.shape[1])) + [0]
    return mean[:, order] * factor


# What the decoder makes: (vae, raw latents, random) to the decoded tensor.


@mistake("decode", "scaling-factor-mismatch")
def decoded_without_unscaling(vae, raw, _):
    return vae.decode(raw * vae.config.scaling_factor).sample


@mistake("decode", "tile-seams")
def tiles_side_by_side(vae, raw, random):
    tile = random.choice([4, 6, 8])
    rows = [
        torch.cat([vae.decode(raw[:, :, y : y + tile, x : x + tile]).sample for x in range(0, raw.shape[3], tile)], 3)
        for y in range(0, raw.shape[2], tile)
    ]
    return torch.cat(rows, 2)


@mistake("decode", "padding-mode")
def every_convolution_pads_otherwise(vae, raw, random):
    mode = random.choice(["circular", "reflect", "replicate"])
    changed = [m for m in vae.decoder.modules() if isinstance(m, torch.nn.Conv2d) and m.padding == (1, 1)]
    for conv in changed:
        conv.padding_mode, conv._reversed_padding_repeated_twice = mode, [1, 1, 1, 1]
    return vae.decode(raw).sample


@mistake("decode", "preview-decoder")
def the_preview_was_kept(vae, raw, _):
    decoded = vae.decode(raw).sample
    small = torch.nn.functional.avg_pool2d(decoded, 8)
    flat = raw[0].flatten(1).T
    fit = torch.linalg.lstsq(torch.cat([flat, torch.ones(len(flat), 1)], 1), small[0].flatten(1).T).solution
    preview = (torch.cat([flat, torch.ones(len(flat), 1)], 1) @ fit).T.reshape(small.shape)
    return torch.nn.functional.interpolate(preview, scale_factor=8, mode="nearest")


@mistake("decode", "decoded-differs")
def activations_left_in_training(vae, raw, random):
    decoded = vae.decode(raw).sample
    return decoded + 0.15 * torch.randn(decoded.shape, generator=torch.Generator().manual_seed(random.randrange(1000)))


# The picture: (decoded in [-1, 1], fed picture, random) to the one that is saved.


def to_picture(decoded, convert=lambda x: np.round(np.clip(x / 2 + 0.5, 0, 1) * 255)):
    return Image.fromarray(convert(decoded[0].permute(1, 2, 0).numpy().astype(np.float64)).astype(np.uint8))


@mistake("saved", "channel-swap")
def written_by_OpenCV(decoded, _, __):
    return Image.fromarray(np.asarray(to_picture(decoded))[:, :, ::-1].copy())


@mistake("saved", "output-not-denormalised")
def taken_for_0_to_1(decoded, _, __):
    return to_picture(decoded, lambda x: np.round(np.clip(x, 0, 1) * 255))


@mistake("saved", "output-not-denormalised")
def converted_twice(decoded, _, __):
    return to_picture(decoded, lambda x: np.round(np.clip((x / 2 + 0.5) / 2 + 0.5, 0, 1) * 255))


@mistake("saved", "u8-wraparound")
def not_clamped(decoded, _, __):
    return to_picture(decoded * 1.0, lambda x: np.round((x / 2 + 0.5) * 255).astype(np.int64) % 256)


@mistake("saved", "u8-truncated")
def cut_off_instead_of_rounded(decoded, _, __):
    return to_picture(decoded, lambda x: np.floor(np.clip(x / 2 + 0.5, 0, 1) * 255))


@mistake("saved", "banding")
def few_levels(decoded, _, random):
    levels = random.choice([16, 24, 32])
    return to_picture(decoded, lambda x: np.round(np.round(np.clip(x / 2 + 0.5, 0, 1) * levels) / levels * 255))


@mistake("saved", "levels-changed")
def video_range_kept(decoded, _, __):
    return curve(to_picture(decoded), lambda x: (16 + 219 * x) / 255)


@mistake("saved", "levels-changed")
def contrast_by_a_filter(decoded, _, random):
    gain = random.choice([0.8, 0.88, 1.12, 1.2])
    return curve(to_picture(decoded), lambda x: 0.5 + gain * (x - 0.5))


@mistake("saved", "gamma-mismatch")
def brightened_by_a_power(decoded, _, random):
    power = random.choice([1 / 2.2, 0.7, 1.5, 2.2])
    return curve(to_picture(decoded), lambda x: x**power)


@mistake("saved", "colour-matrix")
def less_or_more_saturated(decoded, _, random):
    return channels_mixed(to_picture(decoded), saturation(random.choice([0.4, 0.6, 1.4])))


@mistake("saved", "colour-matrix")
def another_matrix_of_video(decoded, _, __):
    return channels_mixed(to_picture(decoded), read_by_another_matrix())


@mistake("saved", "colour-matched")
def colours_matched_to_another_mean(decoded, fed, _):
    ours, theirs = (np.asarray(p, np.float64) for p in (to_picture(decoded), fed))
    matched = (ours - ours.mean((0, 1))) / ours.std((0, 1)) * theirs.std((0, 1)) + theirs.mean((0, 1))
    return Image.fromarray(matched.round().clip(0, 255).astype(np.uint8))


@mistake("saved", "decoded-differs")
def blurred(decoded, _, random):
    return to_picture(decoded).filter(ImageFilter.GaussianBlur(random.choice([1.0, 1.5, 2.5])))


@mistake("saved", "edited-region")
def watermark(decoded, _, random):
    picture = to_picture(decoded)
    wide, high = picture.width // 4, picture.height // 6
    left, top = picture.width - wide - random.randrange(4, 12), picture.height - high - random.randrange(4, 12)
    mark = Image.new("RGB", (wide, high), (230, 230, 235))
    picture.paste(Image.blend(picture.crop((left, top, left + wide, top + high)), mark, 0.7), (left, top))
    return picture


@mistake("saved", "exif-ignored")
def turned_upside_down(decoded, _, __):
    return to_picture(decoded).rotate(180)


@mistake("saved", "size-mismatch")
def made_larger(decoded, _, __):
    picture = to_picture(decoded)
    return picture.resize((picture.width + 8, picture.height + 8), Image.BICUBIC)
