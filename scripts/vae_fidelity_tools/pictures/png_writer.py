"""Writes PNG files of every kind that the PNG specification allows, as bytes.

Pillow writes no 2-bit grey, no 16-bit colour and no interlaced files, and picks the filters itself.
"""

import struct
import zlib

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
# The seven passes of Adam7: first column, first row, column step, row step.
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, payload):
    """One chunk: length, name, payload, CRC."""
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def pack_row(row, depth):
    """One row of samples, (width, channels), as the bytes of a scanline."""
    flat = row.reshape(-1)
    if depth == 16:
        return flat.astype(">u2").tobytes()
    if depth == 8:
        return flat.astype(np.uint8).tobytes()
    bits = ((flat[:, None].astype(np.uint8) >> np.arange(depth - 1, -1, -1)) & 1).reshape(-1)
    return np.packbits(bits).tobytes()


def filtered(line, above, step, kind):
    """A scanline after filter `kind` (0 none, 1 sub, 2 up, 3 average, 4 Paeth)."""
    out = bytearray([kind])
    for i, value in enumerate(line):
        a = line[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        if kind == 4:
            p = a + b - c
            guess = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
        else:
            guess = [0, a, b, (a + b) // 2][kind]
        out.append((value - guess) & 255)
    return bytes(out)


def scanlines(samples, depth):
    """All rows of one pass, the five filters taking turns."""
    step = max(1, samples.shape[2] * depth // 8)
    above = None
    out = []
    for y, row in enumerate(samples):
        line = pack_row(row, depth)
        above = above or bytes(len(line))
        out.append(filtered(line, above, step, y % 5))
        above = line
    return b"".join(out)


def png(samples, depth, colour, interlaced=False, palette=None, trns=None, extra=()):
    """A PNG file. `samples` is (height, width, channels), values below 2 ** depth.

    `palette` is (n, 3); `trns` the payload of a tRNS chunk; `extra` chunks to put before it.
    """
    height, width, _ = samples.shape
    if interlaced:
        passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
        body = b"".join(scanlines(part, depth) for part in passes if part.size)
    else:
        body = scanlines(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    for name, payload in extra:
        out += chunk(name, payload)
    if palette is not None:
        out += chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes())
    if trns is not None:
        out += chunk(b"tRNS", trns)
    return out + chunk(b"IDAT", zlib.compress(body, 9)) + chunk(b"IEND", b"")
