"""The photographs that scikit-image and scikit-learn carry (public domain or CC0), and files of pictures."""

import io
from pathlib import Path

import skimage
from PIL import Image
from sklearn.datasets import load_sample_image

OF_SKLEARN = ("china", "flower")


def photograph(name):
    """In RGB at its own size; `name` is its file's, without what follows the dot."""
    if name in OF_SKLEARN:
        return Image.fromarray(load_sample_image(f"{name}.jpg"))
    folder = Path(skimage.__file__).parent / "data"
    path = next((path for path in sorted(folder.iterdir()) if path.stem == name), None)
    if path is None:
        raise FileNotFoundError(f"{folder} has no picture {name}")
    return Image.open(path).convert("RGB")


def photo(name, size, box=None):
    """Cropped to `box`, reduced to `size`, without its metadata."""
    picture = photograph(name).resize(size, Image.Resampling.LANCZOS, box=box)
    picture.info.clear()  # or the photograph's ICC profile would be written too
    return picture


def saved(picture, format, **options):
    """The bytes that Pillow writes for a picture."""
    out = io.BytesIO()
    picture.save(out, format, **options)
    return out.getvalue()
