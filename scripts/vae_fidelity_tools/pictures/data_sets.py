"""Data sets of the photographs that packages carry: folders, webdataset's archives, parquet files of `datasets`."""

import io

import datasets
import numpy as np
import webdataset

from vae_fidelity_tools.pictures.photographs import photograph

NAMES = ("astronaut", "coffee", "chelsea", "china", "flower", "rocket")


def photographs(count):
    """(name, bytes of a file): crops of many sizes, JPEG and PNG in turn."""
    rng = np.random.default_rng(20260101)
    for index in range(count):
        picture = photograph(NAMES[index % len(NAMES)])
        width, height = (int(rng.integers(min(side, 140), min(side, 640) + 1)) for side in picture.size)
        left, top = int(rng.integers(picture.width - width + 1)), int(rng.integers(picture.height - height + 1))
        crop = picture.crop((left, top, left + width, top + height))
        crop.info.clear()
        out = io.BytesIO()
        ending = ("jpg", "png", "webp")[index % 3]
        crop.save(out, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[ending], quality=93)
        yield f"{index:04}.{ending}", out.getvalue()


def write_folder(pictures, folder):
    for index, (name, data) in enumerate(pictures):
        path = folder / ("train" if index % 2 else "val/n01") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_tars(pictures, folder):
    folder.mkdir()
    with webdataset.ShardWriter(str(folder / "shard-%04d.tar"), maxcount=3, verbose=0) as sink:
        for name, data in pictures:
            key, ending = name.split(".")
            sink.write({"__key__": key, ending: data, "cls": b"7", "json": {"name": name}})


def write_parquet(pictures, folder):
    folder.mkdir()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [{"bytes": data, "path": name} for name, data in pictures], "label": list(range(len(pictures)))}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(folder / "train.parquet"), batch_size=2)


def write_nulls(pictures, folder):
    """Two columns of pictures, one of them with holes: ids name the column."""
    folder.mkdir()
    features = datasets.Features({"image": datasets.Image(), "mask": datasets.Image()})
    cells = [{"bytes": data, "path": None} for _, data in pictures]
    masks = [cell if index % 2 else None for index, cell in enumerate(cells)]
    datasets.Dataset.from_dict({"image": cells, "mask": masks}, features=features).to_parquet(str(folder / "x.parquet"))
