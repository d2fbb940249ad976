"""Animations of every kind that conformance/pillow.py compares frame by frame: (name, bytes) pairs, drawn by seed.

Names as in corpus.py; `unframed/` marks files whose first picture is read, and whose frames are refused.
"""

import struct

import numpy as np
from PIL import Image

from vae_fidelity_tools.pictures.gif_writer import control, frame, gif
from vae_fidelity_tools.pictures.photographs import photo, saved
from vae_fidelity_tools.pictures.png_writer import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, chunk, png


def colours(draw, count):
    """A palette that is not grey."""
    return draw.integers(0, 256, (count, 3))


def greys(count):
    """A palette that is its own index."""
    return np.repeat(np.arange(count)[:, None], 3, axis=1)


def area(draw, width, height, whole=0.25):
    """Left, top, width and height of a part of a picture, or of all of it."""
    if draw.random() < whole:
        return 0, 0, width, height
    left, top = int(draw.integers(0, width)), int(draw.integers(0, height))
    return left, top, int(draw.integers(1, width - left + 1)), int(draw.integers(1, height - top + 1))


def one_of(draw, *values):
    """One of them, each as likely."""
    return values[draw.integers(0, len(values))]


def moving(name, seed, count=4, size=(41, 29)):
    """Frames of a photograph that moves, with alpha in places."""
    draw = np.random.default_rng(seed)
    for number in range(count):
        picture = photo(name, size, (10 * number, 5 * number, 200 + 10 * number, 150 + 5 * number)).convert("RGBA")
        alpha = np.full(size[::-1], 255, np.uint8)
        left, top, width, height = area(draw, *size, whole=0)
        alpha[top : top + height, left : left + width] = one_of(draw, 0, 0, 128, 255)
        if draw.random() < 0.3:
            alpha = np.where(draw.random(alpha.shape) < 0.3, draw.integers(0, 256, alpha.shape), alpha).astype(np.uint8)
        picture.putalpha(Image.fromarray(alpha))
        yield picture


def drawn_gif(seed, grey=False):
    """Frames of random areas, palettes and disposals, which Pillow does not write."""
    draw = np.random.default_rng(seed)
    width, height = int(draw.integers(2, 24)), int(draw.integers(2, 20))
    sizes = (2, 4, 16, 64, 256)
    palette = greys(one_of(draw, *sizes)) if grey else colours(draw, one_of(draw, *sizes))
    frames = []
    for number in range(int(draw.integers(2, 8))):
        own = None
        if not grey and draw.random() < 0.4:
            own = colours(draw, one_of(draw, *sizes))
            if number and draw.random() < 0.4:
                own = greys(len(own))
        entries = len(palette if own is None else own)
        # Pictures of few colours have some of an index; a few indices lie outside of the palette.
        most = min(256, max(2, min(entries, int(draw.integers(2, 9))) + int(draw.integers(0, 2))))
        left, top, columns, rows = area(draw, width, height)
        indices = draw.integers(0, most, (rows, columns))
        transparent = int(draw.integers(0, most)) if draw.random() < 0.5 else None
        controls = [control(int(draw.integers(0, 8)) if draw.random() < 0.3 else int(draw.integers(0, 4)), transparent)]
        if draw.random() < 0.1:
            controls = one_of(draw, [], controls + [control(int(draw.integers(0, 4)))])
        frames.append(frame(indices, (left, top), own, bool(draw.random() < 0.3), controls))
    return gif((width, height), frames, palette, int(draw.integers(0, len(palette) + 1)) % 256)


def gifs(quick):
    for seed in range(80 if quick else 400):
        yield f"gif/drawn-{seed}.gif", drawn_gif(seed)
    for seed in range(20 if quick else 100):
        yield f"gif/drawn-grey-{seed}.gif", drawn_gif(1000 + seed, grey=True)
    for seed, name in enumerate(("coffee", "chelsea", "rocket")):
        frames = list(moving(name, seed))
        for disposal in (0, 1, 2, 3, [2, 0, 3, 1], [0, 2, 1, 3]):
            told = "".join(map(str, disposal)) if isinstance(disposal, list) else disposal
            options = {"save_all": True, "append_images": frames[1:], "disposal": disposal, "duration": 40}
            yield f"gif/alpha-{name}-{told}.gif", saved(frames[0], "GIF", **options)
            opaque = [picture.convert("RGB") for picture in frames]
            options["append_images"] = opaque[1:]
            yield f"gif/rgb-{name}-{told}.gif", saved(opaque[0], "GIF", **options)
            few = [picture.quantize(int(2 + 14 * (number + 1))) for number, picture in enumerate(opaque)]
            options["append_images"] = few[1:]
            yield f"gif/palettes-{name}-{told}.gif", saved(few[0], "GIF", interlace=False, transparency=1, **options)
            grey = [picture.convert("L") for picture in frames]
            options["append_images"] = grey[1:]
            yield f"gif/grey-{name}-{told}.gif", saved(grey[0], "GIF", **options)
    draw = np.random.default_rng(0)
    indices, other = draw.integers(0, 4, (2, 9, 12))
    two = [frame(indices), frame(other)]
    yield "gif/no-palette.gif", gif((12, 9), [frame(indices, controls=[control(2, 1)]), frame(other, controls=[control(1, 2)])])
    yield "gif/own-palettes.gif", gif((12, 9), [frame(part, palette=colours(draw, 8)) for part in (indices, other)])
    yield "gif/first-beyond.gif", gif((5, 4), two, colours(draw, 4))
    cut = gif((12, 9), two, colours(draw, 4))
    yield "gif/without-trailer.gif", cut[:-1]
    yield "gif/between.gif", cut[:-1] + b"\0\0!\xfe\x03abc\0\0" + two[0] + b";" + two[1]
    yield "unframed/cut.gif", cut[:-9]
    yield "unframed/beyond.gif", gif((12, 9), [two[0], frame(other, (3, 3))], colours(draw, 4))
    yield "unframed/colours-after-grey.gif", gif((12, 9), [two[0], frame(other, palette=colours(draw, 4))], greys(4))
    yield "refused/grey-over-colours.gif", gif((12, 9), [frame(indices, palette=greys(4)), two[1]], colours(draw, 4))


def apng(size, frames, depth, colour, declared=None, apart=False, interlaced=False, palette=None, trns=None):
    """An animated PNG file; `frames` are (samples, left, top, disposal, blending), the first of full size, and
    `apart` leaves that one out of the animation."""
    parts = [png(samples, depth, colour, interlaced, palette, trns) for samples, *_ in frames]
    at = parts[0].index(b"IDAT") - 4
    declared = len(frames) - apart if declared is None else declared
    out = parts[0][:33] + chunk(b"acTL", struct.pack(">II", declared, 0)) + parts[0][33:at]
    sequence = 0
    for number, (part, (samples, left, top, disposal, blending)) in enumerate(zip(parts, frames)):
        height, width, _ = samples.shape
        if number or not apart:
            told = struct.pack(">IIIIIHHBB", sequence, width, height, left, top, 1, 25, disposal, blending)
            out += chunk(b"fcTL", told)
            sequence += 1
        at = part.index(b"IDAT")
        body = part[at + 4 : at + 4 + struct.unpack(">I", part[at - 4 : at])[0]]
        if number == 0:
            out += chunk(b"IDAT", body)
            continue
        half = len(body) // 2 if number % 2 else len(body)
        for piece in (body[:half], body[half:]):
            if piece:
                out += chunk(b"fdAT", struct.pack(">I", sequence) + piece)
                sequence += 1
    return out + chunk(b"IEND", b"")


APNG_KINDS = [
    (GREY, 1, 1), (GREY, 1, 2), (GREY, 1, 4), (GREY, 1, 8), (PALETTE, 1, 1), (PALETTE, 1, 2), (PALETTE, 1, 4), (PALETTE, 1, 8),
    (GREY_ALPHA, 2, 8), (GREY_ALPHA, 2, 16), (RGB, 3, 8), (RGB, 3, 16), (RGBA, 4, 8), (RGBA, 4, 16), (GREY, 1, 16),
]  # fmt: skip


def drawn_apng(seed):
    """Frames of random areas, disposals and blendings, in any mode."""
    draw = np.random.default_rng(seed)
    colour, channels, depth = APNG_KINDS[seed % len(APNG_KINDS)]
    width, height = int(draw.integers(1, 24)), int(draw.integers(1, 20))
    # Few levels, so that a transparent colour occurs; 16 bits keep theirs in the low byte too.
    levels = draw.integers(0, 1 << depth, 4)
    frames = []
    for number in range(int(draw.integers(2, 8))):
        left, top, columns, rows = area(draw, width, height) if number else (0, 0, width, height)
        samples = draw.choice(levels, (rows, columns, channels))
        if channels in (2, 4) and draw.random() < 0.7:
            samples[..., -1] = draw.integers(0, 1 << depth, (rows, columns))
        blending = 0 if (colour, depth) == (GREY, 16) else int(draw.integers(0, 2))
        frames.append((samples, left, top, int(draw.integers(0, 3)), blending))
    palette = colours(draw, 1 << depth) if colour == PALETTE else None
    trns = None
    if draw.random() < 0.6:
        if colour == PALETTE:
            trns = draw.integers(0, 256, int(draw.integers(1, len(palette) + 1))).astype(np.uint8).tobytes()
            trns = one_of(draw, trns, b"\xff" * (len(trns) - 1) + b"\0")
        elif colour in (GREY, RGB):
            trns = b"".join(int(level).to_bytes(2, "big") for level in draw.choice(levels, channels))
    return apng((width, height), frames, depth, colour, apart=bool(draw.random() < 0.25), palette=palette, trns=trns)


def apngs(quick):
    for seed in range(120 if quick else 600):
        yield f"png/drawn-{seed}.png", drawn_apng(seed)
    for seed, name in enumerate(("coffee", "chelsea", "rocket")):
        frames = list(moving(name, seed))
        for mode in ("RGBA", "RGB", "L", "LA", "P", "1"):
            of_mode = [picture.convert(mode) for picture in frames]
            options = {"save_all": True, "append_images": of_mode[1:], "duration": 40}
            for disposal, blend in ((0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), ([0, 1, 2, 0], [0, 1, 0, 1])):
                if mode not in ("RGB", "RGBA") and disposal:
                    continue  # Pillow fails to write these
                told = "mixed" if isinstance(blend, list) else f"{disposal}{blend}"
                data = saved(of_mode[0], "PNG", disposal=disposal, blend=blend, **options)
                yield f"png/{mode}-{name}-{told}.png", data
            data = saved(of_mode[0], "PNG", default_image=True, blend=1, disposal=2 if mode in ("RGB", "RGBA") else 0, **options)
            yield f"png/{mode}-{name}-default.png", data
    draw = np.random.default_rng(0)
    size, frames = (9, 7), [(draw.integers(0, 256, (7, 9, 3)), 0, 0, 0, 0) for _ in range(3)]
    whole = apng(size, frames, 8, RGB)
    yield "png/one-frame.png", apng(size, frames[:1], 8, RGB)
    yield "png/one-frame-apart.png", apng(size, frames[:2], 8, RGB, apart=True)
    yield "unframed/more-declared.png", apng(size, frames, 8, RGB, declared=9)
    yield "png/fewer-declared.png", apng(size, frames, 8, RGB, declared=2)
    yield "png/none-declared.png", apng(size, frames, 8, RGB, declared=0)
    yield "png/frames-without-end.png", whole[:-12]
    yield "unframed/interlaced.png", apng(size, frames, 8, RGB, interlaced=True)
    yield "unframed/cut.png", whole[:-60]
    deep = [(draw.integers(0, 400, (7, 9, 1)), 0, 0, 0, 1) for _ in range(2)]
    yield "unframed/blended-grey16.png", apng(size, deep, 16, GREY)


def webp_chunk(name, payload):
    """One chunk of a RIFF file."""
    return name + struct.pack("<I", len(payload)) + payload + b"\0" * (len(payload) % 2)


def webp_animation(size, frames, alpha=True, background=b"\x10\x20\x30\x40"):
    """An animated WebP file; `frames` are (still file, left, top, width, height, whether it is not blended, whether
    its area is cleared), left and top even."""

    def three(*numbers):
        return b"".join(int(number).to_bytes(3, "little") for number in numbers)

    body = b"WEBP" + webp_chunk(b"VP8X", bytes([2 | alpha << 4, 0, 0, 0]) + three(size[0] - 1, size[1] - 1))
    body += webp_chunk(b"ANIM", background + b"\0\0")
    for still, left, top, width, height, alone, cleared in frames:
        parts = still[12:]
        if parts.startswith(b"VP8X"):
            parts = parts[18:]
        header = three(left // 2, top // 2, width - 1, height - 1, 40) + bytes([alone << 1 | cleared])
        body += webp_chunk(b"ANMF", header + parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def drawn_webp(seed):
    """Frames of random areas, alphas and codings, blended and cleared at random."""
    draw = np.random.default_rng(seed)
    width, height = int(draw.integers(1, 40)), int(draw.integers(1, 30))
    frames = []
    for _ in range(int(draw.integers(2, 8))):
        left, top, columns, rows = area(draw, width, height, whole=0.35)
        left, top = left & ~1, top & ~1
        levels = draw.integers(0, 256, (rows, columns, 4)).astype(np.uint8)
        kind = int(draw.integers(0, 4))
        if kind < 2:
            levels[..., 3] = 255 * (draw.random((rows, columns)) < 0.6) if kind else 255
        picture = Image.fromarray(levels)
        if draw.random() < 0.2:
            picture = picture.convert("RGB")
        options = one_of(
            draw, {"lossless": True, "exact": True}, {"lossless": True}, {"quality": 40}, {"quality": 90, "exact": True}
        )
        alone, cleared = bool(draw.integers(0, 2)), bool(draw.integers(0, 2))
        frames.append((saved(picture, "WEBP", **options), left, top, columns, rows, alone, cleared))
    return webp_animation((width, height), frames, alpha=bool(draw.random() < 0.8))


def webps(quick):
    for seed in range(150 if quick else 600):
        yield f"webp/drawn-{seed}.webp", drawn_webp(seed)
    for seed, name in enumerate(("coffee", "chelsea", "rocket")):
        frames = list(moving(name, seed))
        opaque = [picture.convert("RGB") for picture in frames]
        for told, options in (
            ("lossless", {"lossless": True}),
            ("exact", {"lossless": True, "exact": True, "background": (10, 20, 30, 40)}),
            ("lossy", {"quality": 80}),
            ("low", {"quality": 10, "background": (255, 255, 255, 255)}),
            ("mixed", {"allow_mixed": True, "quality": 60}),
            ("small", {"minimize_size": True, "quality": 70}),
            ("keys", {"kmin": 1, "kmax": 2, "quality": 70}),
            ("few-keys", {"kmin": 9, "kmax": 17, "lossless": True}),
        ):
            for kind, pictures in (("alpha", frames), ("rgb", opaque)):
                data = saved(pictures[0], "WEBP", save_all=True, append_images=pictures[1:], duration=40, **options)
                yield f"webp/{kind}-{name}-{told}.webp", data
    still = saved(photo("coffee", (8, 6)), "WEBP", lossless=True)
    frame = (still, 0, 0, 8, 6, False, False)
    yield "webp/one-frame.webp", webp_animation((8, 6), [frame])
    yield "webp/trailing-bytes.webp", webp_animation((8, 6), [frame, frame]) + b"trailing"
    yield "refused/cut.webp", webp_animation((8, 6), [frame, frame])[:-20]
    yield "refused/beyond.webp", webp_animation((8, 6), [frame, (still, 2, 0, 8, 6, False, False)])
    yield "webp/size.webp", webp_animation((8, 6), [frame, (still, 0, 0, 6, 9, False, False)])


def animations(quick):
    """Every animation; with `quick`, fewer that are drawn."""
    yield from gifs(quick)
    yield from apngs(quick)
    yield from webps(quick)
