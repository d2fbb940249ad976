"""Pictures in every format, mode and shape that conformance/pillow.py tries: (name, bytes) pairs.

Names start with the format; `refused/` marks files that the crate refuses by name although Pillow
opens them, `inexact/` files whose pixels are known to differ.
"""

import io
import itertools
import struct

import numpy as np
import tifffile
from PIL import Image

from vae_fidelity_tools.pictures.jpeg_writer import jpeg
from vae_fidelity_tools.pictures.photographs import photo, saved
from vae_fidelity_tools.pictures.png_writer import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, png

SIZES = [(67, 45), (1, 1), (5, 3), (16, 16), (33, 8), (8, 33), (130, 3), (2, 97)]


def coffee(size):
    """A photograph."""
    return photo("coffee", size)


def noise(size, seed=0):
    """Random colours: every level, no two neighbours alike."""
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def samples(size, channels, depth, seed=0):
    """Random samples of any depth, (height, width, channels)."""
    width, height = size
    return np.random.default_rng(seed).integers(0, 1 << depth, (height, width, channels))


def pngs(sizes):
    kinds = [
        (GREY, 1, (1, 2, 4, 8, 16)),
        (RGB, 3, (8, 16)),
        (PALETTE, 1, (1, 2, 4, 8)),
        (GREY_ALPHA, 2, (8, 16)),
        (RGBA, 4, (8, 16)),
    ]
    for size, (colour, channels, depths), interlaced in itertools.product(sizes, kinds, (False, True)):
        for depth in depths:
            palette = samples((256, 1), 3, 8)[0][: 1 << depth] if colour == PALETTE else None
            data = png(samples(size, channels, depth), depth, colour, interlaced, palette)
            yield f"png/c{colour}d{depth}{'i' if interlaced else ''}-{size[0]}x{size[1]}.png", data
    size, palette = (31, 17), samples((256, 1), 3, 8)[0]
    indices = samples(size, 1, 8)
    yield "png/palette-trns-some.png", png(indices, 8, PALETTE, palette=palette, trns=bytes(range(100)))
    yield "png/palette-trns-one.png", png(indices, 8, PALETTE, palette=palette, trns=b"\xff\xff\0\xff")
    yield "png/palette-short.png", png(indices, 8, PALETTE, palette=palette[:100])
    yield "png/grey-low16.png", png(samples(size, 1, 9), 16, GREY)
    for colour, depth, channels in ((GREY, 1, 1), (GREY, 8, 1), (GREY, 16, 1), (RGB, 8, 3), (RGB, 16, 3)):
        trns = b"\0\1" * channels
        yield f"png/trns-c{colour}d{depth}.png", png(samples(size, channels, depth), depth, colour, trns=trns)
    rgb = samples(size, 3, 8)
    for name, payload in (
        (b"gAMA", struct.pack(">I", 100000)),
        (b"sRGB", b"\0"),
        (b"sBIT", b"\5\6\5"),
        (b"pHYs", bytes(9)),
        (b"tEXt", b"a\0b"),
        (b"eXIf", b"II*\0\x08\0\0\0\x01\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"),
    ):
        yield f"png/chunk-{name.decode()}.png", png(rgb, 8, RGB, extra=[(name, payload)])
    frames = [noise(size, seed) for seed in range(3)]
    yield "png/animated.png", saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    plain = png(rgb, 8, RGB)
    yield "png/trailing-bytes.png", plain + b"trailing"
    yield "png/no-iend.png", plain[:-12]
    split = plain.index(b"IDAT")
    length = struct.unpack(">I", plain[split - 4 : split])[0]
    body = plain[split + 4 : split + 4 + length]
    parts = b"".join(chunk(b"IDAT", body[i : i + 100]) for i in range(0, length, 100))
    yield "png/many-idat.png", plain[: split - 4] + parts + plain[split + 8 + length :]


def jpegs(sizes):
    shapes = [(s, p) for s in sizes for p in ("photo", "noise")] + [((200, 133), "photo"), ((64, 64), "photo")]
    for (size, kind), (quality, sub) in itertools.product(
        shapes, ((30, "4:2:0"), (75, "4:2:2"), (90, "4:4:4"), (95, "4:2:0"), (100, "4:2:0"))
    ):
        picture = coffee(size) if kind == "photo" else noise(size)
        for progressive in (False, True):
            name = f"{kind}{size[0]}x{size[1]}-q{quality}-{sub.replace(':', '')}{'p' if progressive else ''}"
            yield f"jpeg/{name}.jpg", saved(picture, "JPEG", quality=quality, subsampling=sub, progressive=progressive)
        yield f"jpeg/grey-{kind}{size[0]}x{size[1]}-q{quality}.jpg", saved(picture.convert("L"), "JPEG", quality=quality)
    for size, progressive in itertools.product(sizes, (False, True)):
        cmyk = Image.fromarray(samples(size, 4, 8).astype(np.uint8), "CMYK")
        yield (
            f"jpeg/cmyk{size[0]}x{size[1]}{'p' if progressive else ''}.jpg",
            saved(cmyk, "JPEG", quality=85, progressive=progressive),
        )
    rgb = coffee((61, 47))
    yield "jpeg/restart.jpg", saved(rgb, "JPEG", quality=80, restart_marker_blocks=3)
    yield "jpeg/keep-rgb.jpg", saved(rgb, "JPEG", quality=80, keep_rgb=True)
    exif = Image.Exif()
    exif[0x0112] = 3
    yield "jpeg/exif.jpg", saved(rgb, "JPEG", exif=exif)
    yield "jpeg/icc.jpg", saved(rgb, "JPEG", icc_profile=bytes(70000))
    yield "jpeg/comment.jpg", saved(rgb, "JPEG", comment=b"c" * 60000)
    yield "jpeg/trailing-bytes.jpg", saved(rgb, "JPEG") + b"trailing" * 100
    yield from strange_jpegs()


def strange_jpegs():
    """Samplings and colour spaces that Pillow does not write."""
    one = (1, 1)
    samplings = [
        [(1, 2), one, one], [(4, 1), one, one], [(1, 4), one, one], [(4, 2), one, one], [(4, 2), (2, 1), one],
        [(2, 2), (2, 1), (2, 1)], [(2, 2), (1, 2), (1, 2)], [(2, 2), (2, 2), one], [(2, 2), (1, 2), (2, 1)],
        [one, (2, 2), (2, 2)], [one, (2, 1), one], [(2, 1), one, (2, 1)], [(2, 4), one, one], [(3, 1), one, one],
        [(1, 3), one, one], [(3, 3), one, one], [(2, 2), one, (2, 2)],
    ]  # fmt: skip
    for size in ((61, 47), (16, 24), (3, 2)):
        ycc = np.array(coffee(size).convert("YCbCr"))
        planes = [np.ascontiguousarray(ycc[..., i]) for i in range(3)]
        black = np.array(photo("chelsea", size).convert("L"))
        where = f"{size[0]}x{size[1]}"
        for sampling in samplings:
            name = "-".join(f"{h}{v}" for h, v in sampling)
            yield f"jpeg/sampled-{name}-{where}.jpg", jpeg(planes, sampling, jfif=True)
            yield f"jpeg/restarted-{name}-{where}.jpg", jpeg(planes, sampling, restart=2)
        for adobe in (None, 0, 1, 2):
            yield f"jpeg/adobe{adobe}-3-{where}.jpg", jpeg(planes, [one] * 3, adobe=adobe)
            for sampling in ([one] * 4, [(2, 2), one, one, (2, 2)]):
                name = f"jpeg/adobe{adobe}-4-{sampling[0][0]}-{where}.jpg"
                yield name, jpeg(planes + [black], sampling, adobe=adobe)
        yield f"jpeg/ids-rgb-{where}.jpg", jpeg(planes, [one] * 3, ids=[ord(c) for c in "RGB"])
        yield f"jpeg/ids-odd-{where}.jpg", jpeg(planes, [one] * 3, ids=[7, 8, 9])
        yield f"jpeg/grey22-{where}.jpg", jpeg([black], [(2, 2)])
        yield f"jpeg/fine-{where}.jpg", jpeg(planes, [(2, 2), one, one], quality=0.01)


def bmp(size, bits, body, *, compression=0, palette=b"", colours=0, masks=b"", top_down=False, header=40):
    """A BMP file around rows that are already packed and padded."""
    width, height = size
    extra = masks if header == 40 else b""
    offset = 14 + header + len(extra) + len(palette)
    info = struct.pack(
        "<IiiHHIIiiII", header, width, -height if top_down else height, 1, bits, compression, len(body), 0, 0, colours, 0
    )
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    elif header > 40:
        info += masks.ljust(header - 40, b"\0")
    return struct.pack("<2sIHHI", b"BM", offset + len(body), 0, 0, offset) + info + extra + palette + body


def padded(row):
    """A row, filled up to a multiple of four bytes."""
    return row + bytes(-len(row) % 4)


def bmps(sizes):
    for size in sizes:
        where = f"{size[0]}x{size[1]}"
        rgb = noise(size)
        for mode in ("1", "L", "P", "RGB", "RGBA"):
            yield f"bmp/{mode}-{where}.bmp", saved(rgb.convert(mode), "BMP")
        width, height = size
        rows16 = b"".join(padded(r.astype("<u2").tobytes()) for r in samples(size, 1, 16)[..., 0])
        rows32 = b"".join(r.astype(np.uint8).tobytes() for r in samples(size, 4, 8).reshape(height, -1))
        rows24 = b"".join(padded(r.astype(np.uint8).tobytes()) for r in samples(size, 3, 8).reshape(height, -1))
        yield f"bmp/555-{where}.bmp", bmp(size, 16, rows16)
        yield f"bmp/555f-{where}.bmp", bmp(size, 16, rows16, compression=3, masks=struct.pack("<III", 0x7C00, 0x3E0, 0x1F))
        yield f"bmp/565-{where}.bmp", bmp(size, 16, rows16, compression=3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
        yield f"bmp/32-{where}.bmp", bmp(size, 32, rows32)
        yield f"bmp/24-down-{where}.bmp", bmp(size, 24, rows24, top_down=True)
        for i, (r, g, b, a) in enumerate(
            [
                (0xFF0000, 0xFF00, 0xFF, 0),
                (0xFF000000, 0xFF0000, 0xFF00, 0),
                (0xFF000000, 0xFF00, 0xFF, 0),
                (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
                (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
                (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
                (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
                (0, 0, 0, 0),
            ]
        ):
            masks = struct.pack("<IIII", r, g, b, a)
            yield f"bmp/fields{i}-{where}.bmp", bmp(size, 32, rows32, compression=3, masks=masks, header=124)
        yield f"bmp/fields40-{where}.bmp", bmp(size, 32, rows32, compression=3, masks=struct.pack("<III", 0xFF0000, 0xFF00, 0xFF))
        palette = samples((256, 1), 4, 8)[0].astype(np.uint8)
        for bits in (1, 4):
            rows = b"".join(padded(r.astype(np.uint8).tobytes()) for r in samples((-(-width * bits // 8), height), 1, 8)[..., 0])
            yield f"bmp/p{bits}-{where}.bmp", bmp(size, bits, rows, palette=palette[: 1 << bits].tobytes())
            os2 = palette[: 1 << bits, :3].tobytes()
            yield f"bmp/os2-p{bits}-{where}.bmp", bmp(size, bits, rows, palette=os2, header=12)
        yield f"bmp/os2-24-{where}.bmp", bmp(size, 24, rows24, header=12)
        rows8 = b"".join(padded(r.astype(np.uint8).tobytes()) for r in samples(size, 1, 8)[..., 0])
        yield f"bmp/p-short-{where}.bmp", bmp(size, 8, rows8, palette=palette[:50].tobytes(), colours=50)
        coded = b"".join(b"".join(bytes([1, int(v)]) for v in r) + b"\0\0" for r in samples(size, 1, 8)[..., 0])
        yield f"bmp/rle8-{where}.bmp", bmp(size, 8, coded + b"\0\1", compression=1, palette=palette.tobytes())
        greys = bytes(v for i in range(256) for v in (i, i, i, 0))
        yield f"bmp/rle8-grey-{where}.bmp", bmp(size, 8, coded + b"\0\1", compression=1, palette=greys)
    palette = samples((256, 1), 4, 8)[0].astype(np.uint8).tobytes()
    # Runs, absolute runs of odd length, a jump of two columns and a row, a run that is too long.
    rows = [b"\x05\x07\0\x03\1\2\3\0\x01\x09", b"\x04\x08\0\2\2\1", b"\x03\x09", b"\xff\x05", b"\x09\x01"]
    rle8 = b"\0\0".join(rows) + b"\0\0\0\1"
    yield "bmp/rle8-jump.bmp", bmp((9, 6), 8, rle8, compression=1, palette=palette)
    rows = [b"\x05\x27\0\x05\x12\x34\x50\0", b"\x0a\x18", b"\0\x0a\x01\x23\x45\x67\x89\0", b"\x03\x9f\0\2\1\1\x06\x21", b"\xff\x21"]
    rle4 = b"\0\0".join(rows) + b"\0\0\0\1"
    yield "bmp/rle4.bmp", bmp((10, 6), 4, rle4, compression=2, palette=palette[:64])
    yield "bmp/rle4-grey.bmp", bmp((10, 6), 4, rle4, compression=2, palette=bytes(v for i in range(16) for v in (i, i, i, 0)))


def gifs(sizes):
    for size in sizes:
        where = f"{size[0]}x{size[1]}"
        rgb = noise(size)
        for colours in (2, 5, 256):
            yield f"gif/p{colours}-{where}.gif", saved(rgb.quantize(colours), "GIF")
        yield f"gif/grey-{where}.gif", saved(rgb.convert("L"), "GIF")
        yield f"gif/plain-{where}.gif", saved(rgb.quantize(16), "GIF", interlace=False)
        yield f"gif/trns-{where}.gif", saved(rgb.quantize(16), "GIF", transparency=3)
        yield f"gif/bilevel-{where}.gif", saved(rgb.convert("1"), "GIF")
    frames = [noise((31, 17), seed).quantize(32) for seed in range(3)]
    yield "gif/animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)
    whole = bytearray(saved(frames[0], "GIF"))
    for name, screen in (("larger", (50, 40)), ("smaller", (10, 9))):
        whole[6:10] = struct.pack("<HH", *screen)
        yield f"gif/screen-{name}.gif", bytes(whole)
    trns = bytearray(saved(frames[0], "GIF", transparency=5))
    trns[6:10] = struct.pack("<HH", 50, 40)
    yield "gif/screen-larger-trns.gif", bytes(trns)
    where = bytes(whole).index(b"\x2c", 13 + 3 * 32)
    moved = bytearray(saved(frames[0], "GIF"))
    moved[6:10] = struct.pack("<HH", 60, 50)
    moved[where + 1 : where + 5] = struct.pack("<HH", 7, 9)
    yield "gif/frame-moved.gif", bytes(moved)
    no_trailer = saved(frames[0], "GIF")
    yield "gif/no-trailer.gif", no_trailer[:-1]


def webps(sizes):
    for size, (kind, picture) in itertools.product(sizes + [(200, 133), (512, 384)], (("photo", coffee), ("noise", noise))):
        where = f"{kind}{size[0]}x{size[1]}"
        rgb = picture(size)
        alpha = Image.fromarray(samples(size, 1, 8)[..., 0].astype(np.uint8))
        rgba = rgb.copy()
        rgba.putalpha(alpha)
        yield f"webp/lossless-{where}.webp", saved(rgb, "WEBP", lossless=True)
        yield f"webp/lossless-alpha-{where}.webp", saved(rgba, "WEBP", lossless=True, exact=True)
        for quality in (10, 60, 80, 100):
            yield f"webp/lossy{quality}-{where}.webp", saved(rgb, "WEBP", quality=quality)
        yield f"webp/lossy-alpha-{where}.webp", saved(rgba, "WEBP", quality=80)
    frames = [noise((31, 17), seed) for seed in range(3)]
    yield "webp/animated.webp", saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])


def tiffs(sizes):
    for size in sizes:
        where = f"{size[0]}x{size[1]}"
        rgb = noise(size)
        rgba = rgb.copy()
        rgba.putalpha(77)
        cmyk = Image.fromarray(samples(size, 4, 8).astype(np.uint8), "CMYK")
        pictures = {"1": rgb.convert("1"), "L": rgb.convert("L"), "LA": rgba.convert("LA"), "RGB": rgb, "RGBA": rgba, "CMYK": cmyk}
        for (mode, picture), compression in itertools.product(
            pictures.items(), (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")
        ):
            yield f"tiff/{mode}-{compression}-{where}.tiff", saved(picture, "TIFF", compression=compression)
        deep = samples(size, 1, 16)[..., 0].astype(np.uint16)
        yield f"tiff/I16-{where}.tiff", saved(Image.fromarray(deep), "TIFF")
        for order in "<>":
            for name, depth, channels in (
                ("L", 8, 1),
                ("I16", 16, 1),
                ("low16", 9, 1),
                ("RGB", 8, 3),
                ("RGB16", 16, 3),
                ("RGBA16", 16, 4),
            ):
                array = samples(size, channels, depth).astype(np.uint8 if depth == 8 else np.uint16)
                array = array[..., 0] if channels == 1 else array
                kind = "minisblack" if channels == 1 else "rgb"
                options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
                out = io.BytesIO()
                tifffile.imwrite(out, array, byteorder=order, photometric=kind, **options)
                yield f"tiff/raw{'le' if order == '<' else 'be'}-{name}-{where}.tiff", out.getvalue()
        for kind, array in (("white", samples(size, 1, 8)[..., 0].astype(np.uint8)), ("white16", deep // 128)):
            out = io.BytesIO()
            tifffile.imwrite(out, array, photometric="miniswhite")
            yield f"tiff/{kind}-{where}.tiff", out.getvalue()
        for orientation in range(1, 9):
            yield f"tiff/turned{orientation}-{where}.tiff", saved(rgb, "TIFF", tiffinfo={274: orientation})
        yield f"refused/palette-{where}.tiff", saved(rgb.quantize(100), "TIFF")
        yield f"refused/float-{where}.tiff", saved(rgb.convert("F"), "TIFF")
        yield f"refused/jpeg-{where}.tiff", saved(rgb, "TIFF", compression="jpeg")
    out = io.BytesIO()
    tifffile.imwrite(out, np.array(noise((67, 45))), photometric="rgb", tile=(32, 16))
    yield "tiff/tiled.tiff", out.getvalue()
    out = io.BytesIO()
    tifffile.imwrite(out, np.array(noise((67, 45))), photometric="rgb", rowsperstrip=7)
    yield "tiff/strips.tiff", out.getvalue()
    out = io.BytesIO()
    tifffile.imwrite(out, np.array(noise((67, 45))), photometric="rgb", bigtiff=True)
    yield "tiff/big.tiff", out.getvalue()
    out = io.BytesIO()
    tifffile.imwrite(out, np.array(noise((67, 45))).transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    yield "refused/planes.tiff", out.getvalue()
    frames = [noise((31, 17), seed) for seed in range(2)]
    yield "tiff/pages.tiff", saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    predicted = saved(noise((67, 45)), "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "tiff/predictor.tiff", predicted


def pnms(sizes):
    for size in sizes:
        width, height = size
        where = f"{width}x{height}"
        head = f"{width} {height}\n"
        bits = samples(size, 1, 1)[..., 0]
        packed = b"".join(np.packbits(r.astype(np.uint8)).tobytes() for r in bits)
        yield f"ppm/p4-{where}.pbm", f"P4\n{head}".encode() + packed
        yield f"ppm/p1-{where}.pbm", f"P1\n# c\n{head}".encode() + "\n".join("".join(map(str, r)) for r in bits).encode()
        for most in (1, 15, 100, 255, 256, 1000, 65535):
            kind = np.uint8 if most < 256 else ">u2"
            for plain, raw, channels in (("P2", "P5", 1), ("P3", "P6", 3)):
                values = np.random.default_rng(most).integers(0, most + 1, (height, width * channels))
                text = "\n".join(" ".join(map(str, r)) for r in values)
                yield f"ppm/{plain}-{most}-{where}.ppm", f"{plain} {head}{most}\n{text}\n".encode()
                yield f"ppm/{raw}-{most}-{where}.ppm", f"{raw} {head}{most}\n".encode() + values.astype(kind).tobytes()
    yield "ppm/comments.ppm", b"P6 # one\n#two\r 2 # three\n1#four\n\n255\n" + bytes(range(6))
    yield "ppm/comments-plain.ppm", b"P3\n2 1\n255\n1 2 3 # x 9\n 4 5 6"
    yield "ppm/above-most.ppm", b"P6 2 1 100\n" + bytes([0, 50, 100, 101, 200, 255])
    yield "refused/float.pfm", b"Pf\n2 1\n-1.0\n" + struct.pack("<ff", 3.7, 250.2)


def tga(size, kind, depth, body, *, flags=0, map_=b"", first=0, map_depth=0, note=b""):
    """A TGA file around its pixels."""
    entries = len(map_) // (map_depth // 8) if map_depth else 0
    header = struct.pack(
        "<BBBHHBHHHHBB", len(note), int(bool(map_depth)), kind, first, entries, map_depth, 0, 0, *size, depth, flags
    )
    # Pillow looks for a footer of 26 bytes, also where there is none.
    return header + note + map_ + body + bytes(26)


def tgas(sizes):
    for size in sizes:
        where = f"{size[0]}x{size[1]}"
        rgb = coffee(size)
        rgba = rgb.copy()
        rgba.putalpha(99)
        for picture, compression in itertools.product(
            (rgb, rgba, rgb.convert("L"), rgba.convert("LA"), rgb.quantize(50)), (None, "tga_rle")
        ):
            yield f"tga/{picture.mode}-{compression}-{where}.tga", saved(picture, "TGA", compression=compression)
        five = samples(size, 1, 16)[..., 0].astype("<u2").tobytes()
        three = samples(size, 3, 8).astype(np.uint8).tobytes()
        for flags in (0, 0x10, 0x20, 0x30):
            yield f"tga/corner{flags}-{where}.tga", tga(size, 2, 24, three, flags=flags, note=b"note")
        yield f"tga/555-{where}.tga", tga(size, 2, 16, five)
        indices = samples(size, 1, 5)[..., 0].astype(np.uint8).tobytes()
        for bits in (16, 24, 32):
            entries = samples((40, 1), bits // 8, 8).astype(np.uint8).tobytes()
            yield f"tga/map{bits}-{where}.tga", tga(size, 1, 8, indices, map_=entries, first=3, map_depth=bits)
    # A packet of different pixels that goes on into the next row.
    yield "tga/packet-across-rows.tga", tga((3, 2), 11, 8, b"\x05" + bytes(range(6)))


def corpus(quick):
    """Every picture; with `quick`, in fewer shapes."""
    sizes = SIZES[:3] if quick else SIZES
    for group in (pngs, jpegs, bmps, gifs, webps, tiffs, pnms, tgas):
        yield from group(sizes)
