"""Files of which Pillow's `convert("RGB")` drops something: what pipelines make of them by Pillow's own means is named."""

import io
import struct

import numpy as np
import pytest
import vae_fidelity
from PIL import Image, ImageCms
from test_api import PHOTO

SIDE = 64


@pytest.fixture(scope="module")
def builtin():
    return vae_fidelity.Pipeline("builtin")


@pytest.fixture(scope="module")
def photo():
    return Image.open(PHOTO).convert("RGB").resize((SIDE, SIDE))


def profile():
    """sRGB's profile with red and green nearer to each other: a third of each is the other's."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack(">I", data[128:132])
    tags = (struct.unpack(">4sII", data[132 + 12 * at : 144 + 12 * at]) for at in range(count))
    places = {name: place for name, place, _ in tags}
    red, green = (struct.unpack(">3i", data[places[name] + 8 : places[name] + 20]) for name in (b"rXYZ", b"gXYZ"))
    for name, own, other in ((b"rXYZ", red, green), (b"gXYZ", green, red)):
        mixed = [(2 * a + b) // 3 for a, b in zip(own, other, strict=True)]
        data[places[name] + 8 : places[name] + 20] = struct.pack(">3i", *mixed)
    return bytes(data)


def with_alpha(photo):
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    oval = np.hypot(x / (SIDE / 2) - 1, y / (SIDE / 2) - 1)
    picture = photo.copy()
    picture.putalpha(Image.fromarray((255 * np.clip((0.9 - oval) / 0.2, 0, 1)).astype(np.uint8)))
    return picture


def on(colour):
    def composited(picture):
        return Image.alpha_composite(Image.new("RGBA", picture.size, colour), picture.convert("RGBA")).convert("RGB")

    return composited


def sixteen_bits(photo):
    return Image.fromarray(np.asarray(photo)[..., 1].astype(np.uint16) * 257)


def scaled(picture):
    return Image.fromarray((np.asarray(picture, dtype=np.uint32) // 257).astype(np.uint8)).convert("RGB")


def in_srgb(picture):
    source = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
    return ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"))


def sample(levels):
    """What an encoder takes."""
    return (levels.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})]
# What hides something, how the file is saved, what other programs make of it, and the code.
CASES = {}
for kind, options in LOSSLESS:
    for colour in ("white", "black"):
        CASES[f"{kind}, alpha on {colour}"] = (with_alpha, kind, options, on(colour), "alpha-mismatch")
for kind in ("PNG", "TIFF", "PPM"):
    CASES[f"{kind} of 16 bits"] = (sixteen_bits, kind, {}, scaled, "bit-depth-mismatch")
for kind, options in [*LOSSLESS, ("JPEG", {"quality": 95})]:
    profiled = {"icc_profile": profile(), **options}
    CASES[f"{kind} with a profile"] = (Image.Image.copy, kind, profiled, in_srgb, "colour-profile-mismatch")


@pytest.mark.parametrize("case", CASES)
def test_what_other_programs_make_of_a_file_is_named(builtin, photo, case):
    hide, kind, options, read, code = CASES[case]
    file = saved(hide(photo), kind, **options)
    opened = Image.open(io.BytesIO(file))
    levels = np.asarray(read(opened))
    report = builtin.check(file, preprocessed=sample(levels))
    assert np.abs(levels.astype(int) - report.seen).max() > 12, "the file shows what it hides"
    told = [finding for finding in report.findings if finding.severity != "info"]
    assert [finding.code for finding in told] == [code] and told[0].severity == "error", told


@pytest.mark.parametrize("case", CASES)
def test_what_pillow_makes_of_it_passes(builtin, photo, case):
    hide, kind, options, *_ = CASES[case]
    file = saved(hide(photo), kind, **options)
    report = builtin.check(file, preprocessed=sample(np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))))
    assert not [finding for finding in report.findings if finding.severity == "error"], report.findings
