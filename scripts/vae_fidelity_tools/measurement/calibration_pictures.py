"""What faults are planted in: cuts of photographs, and pictures that are none."""

import numpy as np
from PIL import Image

from vae_fidelity_tools.pictures.photographs import photograph

# Photograph, and the top left corners of what is cut from it. No photograph is in both sets.
TUNE = {
    "astronaut": [(60, 0), (150, 250)],
    "coffee": [(150, 60), (20, 200)],
    "rocket": [(200, 60), (380, 200)],
    "china": [(40, 60), (300, 150)],
}
TEST = {
    "chelsea": [(60, 20), (220, 60), (130, 100), (20, 90)],
    "flower": [(60, 60), (220, 120), (330, 40), (150, 200)],
    "motorcycle_left": [(60, 60), (250, 160), (420, 60), (500, 250)],
    "ihc": [(20, 20), (300, 60), (120, 300)],
    "hubble_deep_field": [(100, 100), (500, 300)],
    "retina": [(500, 500), (800, 300)],
    "camera": [(150, 60)],
    "coins": [(40, 60)],
}
# What is cut, and what the VAE sees: 8 must not divide the first.
CUT = (85, 77)


def write_pictures(folder, cuts, most):
    left_over = most
    for name, corners in cuts.items():
        picture = photograph(name)
        for number, (left, top) in enumerate(corners):
            if left_over == 0:
                return
            left_over -= 1
            side = (left, top, left + CUT[0], top + CUT[1])
            if side[2] > picture.width or side[3] > picture.height:
                raise SystemExit(f"{name} is too small for a cut at {left}, {top}")
            picture.crop(side).save(folder / f"{name}-{number}.png")


def write_nights(folder):
    """Skies with few stars over what is left of two photographs: to tune on, since the others are light."""
    for seed, name in enumerate(["rocket", "coffee"]):
        left, top = TUNE[name][0]
        picture = photograph(name).crop((left, top, left + CUT[0], top + CUT[1]))
        levels = np.asarray(picture, np.float64) * 0.06 + 4
        random = np.random.default_rng(seed)
        for _ in range(60):
            y, x = random.integers(1, CUT[1] - 1), random.integers(1, CUT[0] - 1)
            brightness = min(255, 20 * (1 - random.random()) ** -0.9)
            colour = brightness * (0.7 + 0.3 * random.random(3))
            spread = np.array([[0.1, 0.3, 0.1], [0.3, 1, 0.3], [0.1, 0.3, 0.1]]) * (0.6 + 0.8 * random.random())
            levels[y - 1 : y + 2, x - 1 : x + 2] += spread[..., None] * colour
        levels += random.normal(0, 1.5, levels.shape)
        Image.fromarray(levels.clip(0, 255).round().astype(np.uint8)).save(folder / f"night-{seed}.png")


def write_clean(folder, seed):
    """Pictures that are no photographs: a rule may be silent about them, but never cry wolf."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:80, 0:80]
    pictures = {
        "noise": random.integers(0, 256, (80, 80, 3)),
        "noise-grey": np.repeat(random.integers(0, 256, (80, 80, 1)), 3, 2),
        "flat-grey": np.full((96, 96, 3), 127),
        "flat-black": np.zeros((96, 96, 3)),
        "flat-white": np.full((96, 96, 3), 255),
        "flat-red": np.full((96, 96, 3), (200, 10, 30)),
        "ramp": np.stack([x * 3, y * 3, (x + y)], -1),
        "stripes": np.repeat((x // 4 % 2 * 255)[..., None], 3, 2),
        "checkers": np.repeat(((x // 8 + y // 8) % 2 * 255)[..., None], 3, 2),
        "blue-picture": np.stack([x // 8, y // 8, 200 + x // 4], -1),
        "tiny": random.integers(0, 256, (8, 8, 3)),
        "thin": random.integers(0, 256, (8, 96, 3)),
    }
    lines = np.full((80, 80, 3), 255)
    for _ in range(20):
        row, column = random.integers(0, 78, 2)
        lines[row : row + 2, :] = lines[:, column : column + 2] = random.integers(0, 100, 3)
    pictures["line-art"] = lines
    name = "chelsea" if seed else "coffee"
    photo = np.asarray(photograph(name).crop((40, 40, 120, 120)))
    pictures["night"] = photo // 16
    pictures["fog"] = 200 + photo // 8
    pictures["saturated"] = np.where(photo > 127, 255, 0)
    for name, levels in pictures.items():
        Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(folder / f"clean-{name}.png")
    large = photograph("motorcycle_left" if seed else "rocket").crop((0, 0, 264, 216))
    large.save(folder / "clean-large.png")
