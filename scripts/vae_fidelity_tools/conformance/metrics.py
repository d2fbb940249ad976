#!/usr/bin/env python3
"""Compares the numbers of `vae-fidelity compare A B --json` with scikit-image, scipy and numpy, live.

    scripts/python.sh -m vae_fidelity_tools.conformance.metrics target/debug/vae-fidelity

Exits with 1 if any number differs by more than rounding, and says which.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from scipy.ndimage import correlate1d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vae_fidelity_tools import arguments

# Both sides add up in f64, in different orders: far below anything a metric is read for.
TOLERANCE = 1e-9


# Wang, Simoncelli, Bovik 2003.
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def pictures(rng):
    """(name, a, b): noise, gradients, edges, flat areas; sizes down to one window and to one pixel."""
    for height, width in ((11, 11), (11, 40), (37, 12), (64, 64), (101, 83), (176, 176), (179, 190), (201, 333)):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        y, x = np.mgrid[:height, :width]
        ramp = np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256], -1).astype(np.uint8)
        yield "noise", noise, rng.integers(0, 256, noise.shape, dtype=np.uint8)
        near = np.clip(ramp.astype(int) + rng.integers(-9, 10, ramp.shape), 0, 255)
        yield "ramp", ramp, near.astype(np.uint8)
        yield "black and white", np.zeros_like(ramp), np.full_like(ramp, 255)
        one = ramp.copy()
        one[height // 2, width // 3, 1] ^= 128
        yield "one value", ramp, one
        yield "inverse", noise, 255 - noise
    small = rng.integers(0, 256, (10, 30, 3), dtype=np.uint8)
    yield "no window", small, small[::-1].copy()
    yield "one pixel", small[:1, :1], small[1:2, :1]


def ms_ssim(a, b):
    """By its definition, for each channel: SSIM's parts from scipy's filters, on five scales."""
    if min(a.shape[:2]) < 176:
        return None
    distance = np.arange(11) - 5
    window = np.exp(-(distance**2) / (2 * 1.5**2))
    window /= window.sum()

    def inside(plane):  # only windows that lie in the picture
        for axis in (0, 1):
            plane = correlate1d(plane, window, axis=axis)
        return plane[5:-5, 5:-5]

    def halved(plane):
        height, width = plane.shape
        plane = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
        return plane.reshape(plane.shape[0] // 2, 2, plane.shape[1] // 2, 2).mean((1, 3))

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    products = []
    for channel in range(3):
        x, y = (picture[..., channel].astype(np.float64) for picture in (a, b))
        product = 1.0
        for scale, exponent in enumerate(SCALES):
            mx, my = inside(x), inside(y)
            vx, vy = inside(x * x) - mx * mx, inside(y * y) - my * my
            part = (2 * (inside(x * y) - mx * my) + c2) / (vx + vy + c2)
            if scale == len(SCALES) - 1:
                part = part * (2 * mx * my + c1) / (mx * mx + my * my + c1)
            product *= max(part.mean(), 0.0) ** exponent
            x, y = halved(x), halved(y)
        products.append(product)
    return np.mean(products)


def expected_of_pictures(a, b):
    difference = b.astype(np.int64) - a.astype(np.int64)
    worst = np.unravel_index(np.abs(difference).argmax(), difference.shape)
    return {
        "identical": bool((difference == 0).all()),
        "psnr_db": peak_signal_noise_ratio(a, b, data_range=255),
        "ssim": structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
        )
        if min(a.shape[:2]) >= 11
        else None,
        "ms_ssim": ms_ssim(a, b),
        "mae": np.abs(difference).mean(),
        "max_abs_diff": np.abs(difference).max(),
        "max_abs_diff_at": {"y": worst[0], "x": worst[1], "channel": ("red", "green", "blue")[worst[2]]},
        "mean_error": difference.mean((0, 1)),
        "differing_pixels": (difference != 0).any(-1).sum(),
    }


def tensors(rng):
    """(name, a, b): values near and far, of both signs, across zero, and not finite."""
    a = rng.standard_normal((2, 4, 8, 6), dtype=np.float32)
    yield "near", a, (a * np.float32(1 + 1e-6)).astype(np.float32)
    yield "far", a, rng.standard_normal(a.shape, dtype=np.float32)
    yield "across zero", a, -a
    spoilt = a.copy()
    spoilt[0, 1, 2, 3], spoilt[1, 0, 0, 0] = np.nan, np.inf
    yield "not finite", spoilt, (a + np.float32(1e-3)).astype(np.float32)


def expected_of_tensors(a, b):
    finite = np.isfinite(a) & np.isfinite(b)
    x, y = a[finite].astype(np.float64), b[finite].astype(np.float64)
    difference = np.where(finite, np.abs(a.astype(np.float64) - b), -1)
    worst = np.unravel_index(difference.argmax(), difference.shape)
    # Sign and magnitude to a number line, on which neighbouring floats are one apart.
    line = [
        np.where(v.view(np.int32) < 0, -(v.view(np.int32).astype(np.int64) & 0x7FFFFFFF), v.view(np.int32).astype(np.int64))
        for v in (a, b)
    ]
    return {
        "values": a.size,
        "max_abs_diff": np.abs(x - y).max(),
        "worst": {"index": np.array(worst), "actual": a[worst], "expected": b[worst]},
        "mean_abs_diff": np.abs(x - y).mean(),
        "rms_diff": np.sqrt(((x - y) ** 2).mean()),
        "cosine": x @ y / (np.linalg.norm(x) * np.linalg.norm(y)),
        "max_ulp": np.abs(line[0] - line[1])[finite].max(),
        "differing": (~finite | (a.view(np.int32) != b.view(np.int32))).sum(),
        "non_finite_actual": (~np.isfinite(a)).sum(),
        "non_finite_expected": (~np.isfinite(b)).sum(),
        "over": [{"threshold": t, "values": (~finite | (difference > t)).sum()} for t in (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)],
    }


def differences(path, expected, found):
    """Lines that say where `found`, a JSON value, is not `expected`."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{path}: expected an object, found {found}"]
        return [line for key in expected for line in differences(f"{path}.{key}", expected[key], found.get(key, "nothing"))]
    if isinstance(expected, (list, np.ndarray)):
        if not isinstance(found, list) or len(found) != len(expected):
            return [f"{path}: expected {len(expected)} values, found {found}"]
        return [line for i, (e, f) in enumerate(zip(expected, found)) for line in differences(f"{path}[{i}]", e, f)]
    if isinstance(expected, (bool, str)) or expected is None:
        return [] if found == expected else [f"{path}: expected {expected}, found {found}"]
    number = isinstance(found, (int, float)) and not isinstance(found, bool)
    if number and isinstance(expected, np.float32):
        found = np.float32(found)  # printed with the digits that tell one f32 from the next
    # Written so that NaN is a difference.
    if number and abs(float(found) - float(expected)) <= TOLERANCE * max(1.0, abs(float(expected))):
        return []
    return [f"{path}: expected {expected}, found {found}"]


def compare(binary, a, b):
    run = subprocess.run([binary, "compare", a, b, "--json"], capture_output=True, text=True)
    if run.returncode != 1:
        raise SystemExit(f"{a} and {b} differ, but the exit code is {run.returncode}:\n{run.stdout}{run.stderr}")
    return json.loads(run.stdout)


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("binary", type=Path, help="the vae-fidelity to check")
    binary = parser.parse_args().binary.resolve()
    rng = np.random.default_rng(20041104)
    wrong, judged = [], 0
    with tempfile.TemporaryDirectory() as folder:
        a_png, b_png = Path(folder, "a.png"), Path(folder, "b.png")
        for name, a, b in pictures(rng):
            Image.fromarray(a).save(a_png)
            Image.fromarray(b).save(b_png)
            found = compare(binary, a_png, b_png)["metrics"]
            label = f"{name} {a.shape[1]} x {a.shape[0]}"
            wrong += differences(label, expected_of_pictures(a, b), found)
            judged += 1
        a_file, b_npy = Path(folder, "a.safetensors"), Path(folder, "b.npy")
        for name, a, b in tensors(rng):
            save_file({"x": a}, a_file)
            np.save(b_npy, b)
            found = compare(binary, a_file, b_npy)["tensors"][0]["metrics"]
            wrong += differences(f"tensor {name}", expected_of_tensors(a, b), found)
            judged += 1
    for line in wrong:
        print(line)
    print(f"{judged} pairs compared with scikit-image, scipy and numpy, {len(wrong)} numbers differ")
    return 1 if wrong or judged == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
