"""Animations of every kind that conformance/pillow.py compares frame by frame: (name, bytes) pairs, drawn by seed.

Names as in corpus.py; `unframed/` marks files whose first picture is read, and whose frames are refused.
"""

import numpy as np
from PIL import Image

from vae_fidelity_tools.pictures.gif_writer import control, frame, gif
from vae_fidelity_tools.pictures.photographs import photo, saved


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


def animations(quick):
    """Every animation; with `quick`, fewer that are drawn."""
    yield from gifs(quick)
