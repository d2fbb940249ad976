"""Where the error lies and energy over frequency, by numpy and scipy in f64."""

import numpy as np
from scipy.fft import dctn

PARTS, SIDE = 16, 8


def shares(tensor):
    """Of the energy of (1, channels, H, W) in blocks of 8 x 8, that of each sum of both frequencies."""
    values = tensor.numpy()[0].astype(np.float64)
    down, right = (side // SIDE for side in values.shape[1:])
    values = values[:, : down * SIDE, : right * SIDE]
    values = values - values.mean(axis=(1, 2), keepdims=True)
    blocks = values.reshape(-1, down, SIDE, right, SIDE)
    energy = (dctn(blocks, axes=(2, 4), norm="ortho") ** 2).sum(axis=(0, 1, 3))
    bands = np.array([np.fliplr(energy).trace(SIDE - 1 - band) for band in range(2 * SIDE - 1)])
    return bands / energy.sum()


def squares(x, y):
    """Squared errors of two pictures (H, W, 3) of 8 bits in each of 16 x 16 parts, and how many there are."""
    error = (x.astype(np.int64) - y.astype(np.int64)) ** 2
    rows, columns = ([-(-part * side // PARTS) for part in range(PARTS + 1)] for side in error.shape[:2])
    parts = [[error[a:b, c:d] for c, d in zip(columns, columns[1:])] for a, b in zip(rows, rows[1:])]
    return np.array([[[part.sum(), part.size] for part in row] for row in parts], dtype=np.float64)


class Maps:
    def __init__(self):
        self.squares, self.shares = 0, {"input": [], "decoded": [], "latents": []}

    def add(self, x, y, z, levels):
        for name, tensor in (("input", x), ("decoded", y), ("latents", z)):
            self.shares[name].append(shares(tensor))
        self.squares = self.squares + squares(*(levels(tensor) for tensor in (x, y)))

    def expected(self):
        """What `result.json` has to hold, and how far it may be off: latents and pictures of engines that round otherwise."""
        border = np.ones((PARTS, PARTS), dtype=bool)
        border[1:-1, 1:-1] = False
        root = {"border_rmse": self.squares[border], "interior_rmse": self.squares[~border]}
        root = {name: of.sum(axis=0) for name, of in root.items()}
        for name, of in (*root.items(), *((f"rmse.{i}", of) for i, of in enumerate(self.squares.reshape(-1, 2)))):
            yield "error_map", name, np.sqrt(of[0] / of[1]), 0.02
        for name, of in self.shares.items():
            mean = np.mean(of, axis=0)
            for band, share in enumerate(mean):
                yield "spectrum", f"{name}.{band}", share, 1e-6 + (0 if name == "input" else 2e-3) * share


def found(model, map, name):
    of = model[map]
    key, _, place = name.partition(".")
    if not place:
        return of[key]
    values = of[key] if map == "spectrum" else [value for row in of[key] for value in row]
    return values[int(place)]
