"""Writes baseline JPEG files with any component count and sampling factors, as bytes.

Pillow writes 4:4:4, 4:2:2 and 4:2:0 only, and no YCCK. Tables are those of ITU-T T.81, annex K.
"""

import struct

import numpy as np

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, (i // 8 if (i // 8 + i % 8) % 2 else i % 8)))
QUANT = np.array([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
])  # fmt: skip
DC_COUNTS = [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
DC_VALUES = list(range(12))
# Codes of 8 and 9 bits for all 162 symbols: longer files than with annex K's table, as valid.
AC_VALUES = [0x00, 0xF0] + [run << 4 | size for size in range(1, 11) for run in range(16)]
AC_COUNTS = [0] * 7 + [90, 72] + [0] * 7
DCT = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) * (0.5 if u else 8**-0.5) for x in range(8)] for u in range(8)])


def codes(counts, values):
    """Symbol -> (code, length), as T.81 annex C assigns them."""
    table, code, at = {}, 0, 0
    for length, count in enumerate(counts, 1):
        for value in values[at : at + count]:
            table[value] = (code, length)
            code += 1
        at += count
        code <<= 1
    return table


DC, AC = codes(DC_COUNTS, DC_VALUES), codes(AC_COUNTS, AC_VALUES)


class Bits:
    """The entropy-coded segment, one bit string at a time."""

    def __init__(self):
        self.parts, self.pending = [], []

    def put(self, value, length):
        """The low `length` bits of `value`."""
        if length:
            self.pending.append(format(value & ((1 << length) - 1), f"0{length}b"))

    def flush(self):
        """Pads with ones to a byte and stuffs a zero after every 0xFF."""
        bits = "".join(self.pending)
        bits += "1" * (-len(bits) % 8)
        raw = int(bits or "0", 2).to_bytes(len(bits) // 8, "big")
        self.parts.append(raw.replace(b"\xff", b"\xff\x00"))
        self.pending = []

    def marker(self, number):
        """A restart marker."""
        self.flush()
        self.parts.append(bytes([0xFF, 0xD0 + number]))


def put_signed(bits, table, run, value):
    """A run/size symbol, then the value's bits."""
    size = int(abs(value)).bit_length()
    bits.put(*table[run << 4 | size])
    bits.put(value if value >= 0 else value - 1, size)


def put_block(bits, block, previous):
    """One quantised block in zigzag order; returns its DC."""
    put_signed(bits, DC, 0, int(block[0] - previous))
    run = 0
    for value in block[1:]:
        if value == 0:
            run += 1
            continue
        while run > 15:
            bits.put(*AC[0xF0])
            run -= 16
        put_signed(bits, AC, run, int(value))
        run = 0
    if run:
        bits.put(*AC[0x00])
    return int(block[0])


def quantised(plane, quant):
    """(rows, columns, 64) quantised coefficients in zigzag order of a plane of whole blocks."""
    height, width = plane.shape
    blocks = plane.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2) - 128.0
    coefficients = DCT @ blocks @ DCT.T
    out = np.rint(coefficients.reshape(height // 8, width // 8, 64) / quant).astype(int)
    return np.clip(out, -1023, 1023)[..., ZIGZAG]


def segment(marker, payload):
    """One marker segment."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def reduced(plane, width, height, across, down):
    """The plane, edge-padded to whole units and box-averaged down to (height, width)."""
    rows = np.minimum(np.arange(height * down), plane.shape[0] - 1)
    columns = np.minimum(np.arange(width * across), plane.shape[1] - 1)
    full = plane[rows][:, columns].astype(float)
    return full.reshape(height, down, width, across).mean((1, 3))


def jpeg(planes, sampling, quality=0.5, adobe=None, jfif=False, restart=0, ids=None, segments=()):
    """A baseline JPEG file.

    `planes`: (height, width) uint8 arrays, all of the picture's size, in the file's colour space.
    `sampling`: (h, v) per plane, each dividing the largest. `quality` scales the quantisation
    (smaller is finer). `adobe`: the transform byte of an Adobe segment. `restart`: MCUs between
    restart markers. `segments`: (marker, payload) pairs to put first.
    """
    height, width = planes[0].shape
    most_h, most_v = max(h for h, _ in sampling), max(v for _, v in sampling)
    across, down = -(-width // (8 * most_h)), -(-height // (8 * most_v))
    quant = np.clip(np.rint(QUANT * quality), 1, 255)
    ids = ids or list(range(1, len(planes) + 1))
    blocks = [
        quantised(reduced(plane, across * 8 * h, down * 8 * v, most_h // h, most_v // v), quant)
        for plane, (h, v) in zip(planes, sampling)
    ]
    if len(planes) == 1:
        # A scan of one component is not interleaved: its unit is one block, whatever its sampling.
        across, down, sampling = -(-width // 8), -(-height // 8), [(1, 1)]
    bits, previous, count, number = Bits(), [0] * len(planes), 0, 0
    for row in range(down):
        for column in range(across):
            if restart and count == restart:
                bits.marker(number)
                previous, count, number = [0] * len(planes), 0, (number + 1) % 8
            count += 1
            for index, (h, v) in enumerate(sampling):
                for y in range(row * v, row * v + v):
                    for x in range(column * h, column * h + h):
                        previous[index] = put_block(bits, blocks[index][y, x], previous[index])
    bits.flush()
    out = b"\xff\xd8"
    if jfif:
        out += segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    for marker, payload in segments:
        out += segment(marker, payload)
    if adobe is not None:
        out += segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, adobe))
    out += segment(0xDB, b"\0" + bytes(quant.astype(int)[ZIGZAG].tolist()))
    frame = b"".join(bytes([i, h << 4 | v, 0]) for i, (h, v) in zip(ids, sampling))
    out += segment(0xC0, struct.pack(">BHHB", 8, height, width, len(planes)) + frame)
    out += segment(0xC4, b"\x00" + bytes(DC_COUNTS + DC_VALUES))
    out += segment(0xC4, b"\x10" + bytes(AC_COUNTS + AC_VALUES))
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    scan = b"".join(bytes([i, 0]) for i in ids)
    return out + segment(0xDA, bytes([len(planes)]) + scan + b"\0\x3f\0") + b"".join(bits.parts) + b"\xff\xd9"
