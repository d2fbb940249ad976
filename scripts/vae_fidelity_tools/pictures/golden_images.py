#!/usr/bin/env python3
"""Writes golden/images/: the small pictures that tests and goldens start from.

    scripts/python.sh -m vae_fidelity_tools.pictures.golden_images [FOLDER]

Everything is derived from photographs that scikit-image 0.26.0 carries (public domain or CC0), so
that each file's origin is this script. The same Pillow, numpy and zlib give the same bytes.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from vae_fidelity_tools.checkout import IMAGES
from vae_fidelity_tools.pictures.jpeg_writer import jpeg
from vae_fidelity_tools.pictures.photographs import photo, saved
from vae_fidelity_tools.pictures.png_writer import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, png


def with_alpha(array):
    """The array with one more channel: a ramp from transparent to opaque."""
    height, width = array.shape[:2]
    ramp = np.broadcast_to(np.linspace(0, 255, width).astype(np.uint8), (height, width))
    return np.dstack([array, ramp])


def deep(array):
    """8-bit samples as 16-bit ones whose low byte differs from the high one."""
    noise = np.random.default_rng(16).integers(0, 256, array.shape)
    return array.astype(np.uint16) * 256 + noise.astype(np.uint16)


def photographs():
    """The pictures that look like what users bring."""
    face = (90, 0, 346, 256)
    yield "astronaut.png", saved(photo("astronaut", (256, 256), face), "PNG", optimize=True)
    yield "astronaut_512.jpg", saved(photo("astronaut", (512, 512)), "JPEG", quality=88)
    yield "coffee.jpg", saved(photo("coffee", (300, 200)), "JPEG", quality=85)
    odd = photo("chelsea", (67, 45))
    yield "progressive_420.jpg", saved(odd, "JPEG", quality=90, subsampling="4:2:0", progressive=True)
    yield "baseline_422.jpg", saved(photo("coffee", (75, 53)), "JPEG", quality=90, subsampling="4:2:2")
    yield "baseline_444.jpg", saved(photo("rocket", (53, 75)), "JPEG", quality=90, subsampling="4:4:4")
    yield "grey.jpg", saved(odd.convert("L"), "JPEG", quality=90)
    ycc = np.array(photo("coffee", (61, 47)).convert("YCbCr"))
    planes = [np.ascontiguousarray(ycc[..., i]) for i in range(3)]
    yield "baseline_440.jpg", jpeg(planes, [(1, 2), (1, 1), (1, 1)], jfif=True)
    yield "baseline_411.jpg", jpeg(planes, [(4, 1), (1, 1), (1, 1)], jfif=True, restart=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "exif_rotated.jpg", saved(photo("rocket", (40, 56)), "JPEG", quality=90, exif=exif)


def four_channel_jpegs():
    """CMYK and YCCK, stored inverted as Adobe does."""
    cmyk = np.array(photo("chelsea", (67, 45)).convert("CMYK"))
    black = (255 - cmyk.max(-1) // 2).astype(np.uint8)
    yield "cmyk.jpg", saved(Image.fromarray(np.dstack([cmyk[..., :3], 255 - black]), "CMYK"), "JPEG", quality=90)
    ycc = np.array(photo("coffee", (67, 45)).convert("YCbCr"))
    planes = [np.ascontiguousarray(ycc[..., i]) for i in range(3)] + [black]
    yield "ycck.jpg", jpeg(planes, [(2, 2), (1, 1), (1, 1), (2, 2)], adobe=2)


def png_modes():
    """Every colour type and bit depth of PNG, 67 x 45."""
    picture = photo("coffee", (67, 45))
    rgb, grey = np.array(picture), np.array(picture.convert("L"))[..., None]
    for depth in (1, 2, 4):
        yield f"grey{depth}.png", png(grey >> (8 - depth), depth, GREY)
    yield "grey.png", png(grey, 8, GREY)
    # Pillow's RGB clips 16-bit grey at 255 instead of scaling it: about half the picture stays below.
    yield "grey16.png", png(deep(grey) >> 7, 16, GREY)
    yield "grey_alpha.png", png(with_alpha(grey), 8, GREY_ALPHA)
    yield "grey_alpha16.png", png(deep(with_alpha(grey)), 16, GREY_ALPHA)
    yield "rgb16.png", png(deep(rgb), 16, RGB)
    yield "rgba.png", png(with_alpha(rgb), 8, RGBA)
    yield "rgba16.png", png(deep(with_alpha(rgb)), 16, RGBA)
    yield "rgb_interlaced.png", png(rgb, 8, RGB, interlaced=True)
    yield "rgb_transparent.png", png(rgb, 8, RGB, trns=bytes(b for v in rgb[0, 0] for b in (0, int(v))))
    for colours, depth in ((4, 2), (16, 4), (100, 8)):
        reduced = picture.quantize(colours, dither=Image.Dither.NONE)
        palette = np.array(reduced.getpalette()).reshape(-1, 3)[:colours]
        trns = bytes(range(0, 2 * colours, 2)) if depth == 8 else None
        name = "palette_transparent.png" if trns else f"palette{depth}.png"
        yield name, png(np.array(reduced)[..., None], depth, PALETTE, palette=palette, trns=trns)


def sizes():
    """Awkward shapes."""
    yield "one_pixel.png", saved(photo("coffee", (1, 1)), "PNG")
    yield "tiny.png", saved(photo("chelsea", (5, 3)), "PNG")
    yield "wide.png", saved(photo("coffee", (701, 9)), "PNG", optimize=True)
    yield "tall.jpg", saved(photo("rocket", (7, 300)), "JPEG", quality=90)


def other_formats():
    """One file of each further format, 43 x 29."""
    picture = photo("chelsea", (43, 29))
    yield "picture.bmp", saved(picture, "BMP")
    yield "picture.gif", saved(picture.quantize(64), "GIF")
    yield "picture.ppm", saved(picture, "PPM")
    yield "picture.tga", saved(picture, "TGA", compression="tga_rle")
    yield "picture.tiff", saved(picture, "TIFF", compression="tiff_lzw")
    yield "lossless.webp", saved(picture, "WEBP", lossless=True)
    yield "lossy.webp", saved(photo("chelsea", (67, 45)), "WEBP", quality=85)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    for group in (photographs, four_channel_jpegs, png_modes, sizes, other_formats):
        for name, data in group():
            Image.open(io.BytesIO(data)).load()
            (folder / name).write_bytes(data)
            total += len(data)
            print(f"{len(data):8} {name}")
    print(f"{total:8} in all")


if __name__ == "__main__":
    main()
