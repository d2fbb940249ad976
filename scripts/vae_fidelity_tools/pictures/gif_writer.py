"""Writes GIF files of every kind, as bytes: Pillow writes no reserved disposal, and picks areas and palettes itself."""

import struct

import numpy as np


def lzw(indices, bits):
    """Indices in codes of one length: a clear code comes before the table would grow beyond it."""
    clear, room = 1 << bits, max(1, (1 << bits) - 2)
    codes = []
    for at in range(0, len(indices), room):
        codes += [clear, *map(int, indices[at : at + room])]
    codes.append(clear + 1)
    values = np.array(codes)
    packed = np.packbits(((values[:, None] >> np.arange(bits + 1)) & 1).reshape(-1).astype(np.uint8), bitorder="little")
    return packed.tobytes()


def blocks(data):
    """Data in sub-blocks, and the empty one that ends them."""
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"


def in_passes(indices):
    """Rows in the order in which an interlaced frame stores them."""
    return np.concatenate([indices[start::step] for start, step in ((0, 8), (4, 8), (2, 4), (1, 2))])


def palette_bits(palette):
    """How a palette of that many colours is declared; it has 2, 4, ... or 256."""
    return max(1, (len(palette) - 1).bit_length()) - 1


def control(disposal=0, transparent=None, delay=4):
    """A graphic control extension."""
    flags = disposal << 2 | (transparent is not None)
    return b"!\xf9\x04" + struct.pack("<BHB", flags, delay, transparent or 0) + b"\0"


def frame(indices, at=(0, 0), palette=None, interlaced=False, controls=()):
    """A frame of indices, (height, width); `controls` are what `control` gives."""
    height, width = indices.shape
    bits = max(2, int(indices.max()).bit_length())
    flags = interlaced << 6
    if palette is not None:
        flags |= 128 | palette_bits(palette)
    out = b"".join(controls) + b"," + struct.pack("<HHHHB", *at, width, height, flags)
    if palette is not None:
        out += np.asarray(palette, np.uint8).tobytes()
    rows = in_passes(indices) if interlaced else indices
    return out + bytes([bits]) + blocks(lzw(rows.reshape(-1), bits))


def gif(screen, frames, palette=None, background=0):
    """A GIF file of such frames; `palette` is (2 ** n, 3)."""
    flags = 0x70 if palette is None else 0xF0 | palette_bits(palette)
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, flags, background, 0)
    if palette is not None:
        out += np.asarray(palette, np.uint8).tobytes()
    return out + b"".join(frames) + b";"
