#!/usr/bin/env python3
"""Compares `vae-fidelity evaluate` with the published scripts' own steps, run in Python, picture by picture.

    scripts/python.sh -m vae_fidelity_tools.conformance.evaluation BINARY [--pictures N] [--protocols-alone]

Photographs that packages carry are cropped by seed and written as folders, as webdataset's tar archives and
as the parquet files of `datasets`. Each protocol's transforms, posterior, rounding and metric functions
(scikit-image's, torchmetrics' and the package lpips's, called as the scripts call them) run on diffusers'
AutoencoderKL; statistics of latents are numpy's in f64, energy over frequency is scipy's. Exits with 1 where
a number differs, and says which.
"""

import hashlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
from diffusers import AutoencoderKL
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT
from vae_fidelity_tools.conformance import evaluation_maps, inception, perceptual_weights
from vae_fidelity_tools.conformance.evaluation_protocols import (
    BICUBIC,
    LPIPS_OF,
    NETS,
    PROTOCOLS,
    ROUNDED,
    dists_of_levels,
    levels,
    lpips_models,
    normalize,
    resize_crop,
    to_tensor,
)
from vae_fidelity_tools.pictures.data_sets import photographs, write_folder, write_nulls, write_parquet, write_tars

MODEL = ROOT / "golden" / "models" / "builtin"

# Engines round differently: a value that lies between two levels may be rounded to either.
PSNR_DB, SSIM, LPIPS, DISTS = 1e-4, 1e-4, 1e-4, 1e-4
# Of the distance.
RFID = 1e-3
LATENTS = 5e-3


def noise(id, shape):
    """The draw of a picture by its name: the first eight bytes of SHA-256 of seed and name."""
    seed = int.from_bytes(hashlib.sha256(f"0\n{id}".encode()).digest()[:8], "big")
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed & 0xFFFFFFFF))


def trip(vae, x, id, drawn):
    """(latents, mean, log-variance, decoded)."""
    with torch.no_grad():
        posterior = vae.encode(x).latent_dist
        z = posterior.mean + posterior.std * noise(id, posterior.mean.shape) if drawn else posterior.mode()
        return z, posterior.mean, posterior.logvar, vae.decode(z).sample


def evaluate(binary, data, out, *more, engine="fast"):
    command = [binary, "evaluate", data, "--engine", engine, "--device", "cpu", "--out", out, "--json", *more]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode not in (0, 2) or not run.stdout.strip():
        raise SystemExit(f"{run.args}: {run.returncode}\n{run.stdout}{run.stderr}")
    return json.loads(run.stdout), pyarrow.parquet.read_table(Path(out, "rows.parquet")).to_pylist()


def differs(what, found, expected, tolerance):
    # Written so that NaN is a difference.
    if found is not None and abs(found - expected) <= tolerance:
        return []
    return [f"{what}: expected {expected}, found {found}"]


def check_latents(name, summary, latents):
    """Over all pictures, in f64."""
    z = np.concatenate([z.numpy().astype(np.float64).reshape(z.shape[1], -1) for z, _, _ in latents], axis=1)
    mean, logvar = (
        np.concatenate([t[i].numpy().astype(np.float64).reshape(t[i].shape[1], -1) for t in latents], axis=1) for i in (1, 2)
    )
    kl = 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)

    def moments(values):
        deviation = values - values.mean()
        return {
            "mean": values.mean(),
            "std": values.std(),
            "min": values.min(),
            "max": values.max(),
            "kurtosis": (deviation**4).mean() / values.var() ** 2,
        }

    expected = moments(z) | {"kl": kl.mean()}
    wrong = []
    for key, value in expected.items():
        wrong += differs(f"{name} latents.{key}", summary[key], value, LATENTS * max(abs(value), expected["std"]))
    wrong += differs(f"{name} scaling_factor", summary["scaling_factor"]["measured"], 1 / z.std(), LATENTS / z.std())
    wrong += differs(f"{name} shift_factor", summary["shift_factor"]["measured"], z.mean(), LATENTS * z.std())
    for channel, of in enumerate(summary["channels"]):
        for key, value in (moments(z[channel]) | {"kl": kl[channel].mean()}).items():
            tolerance = LATENTS * max(abs(value), z[channel].std())
            wrong += differs(f"{name} channel {channel}.{key}", of[key], value, tolerance)
    return wrong


def check_summary(name, report, rows):
    """Means and percentiles are numpy's of the rows."""
    metrics, wrong = report["models"][0]["metrics"], []
    of_nets = [f"lpips_{net}" for net in LPIPS_OF[name][1]]
    for key in ("psnr_db", "ssim", "mae", "max_abs_diff", "mse", *of_nets):
        values = np.array([row[key] for row in rows if row[key] is not None], dtype=np.float64)
        expected = {"mean": values.mean(), "std": values.std(), "min": values.min(), "max": values.max()}
        for field, value in expected.items():
            wrong += differs(f"{name} {key}.{field}", metrics[key][field], value, 1e-9 * max(1, abs(value)))
        for part in (1, 5, 25, 50, 75, 95, 99):
            found = metrics[key]["percentiles"][f"p{part}"]
            wrong += differs(f"{name} {key} p{part}", found, np.percentile(values, part), 1e-9)
    mse = np.mean([row["mse"] for row in rows])
    wrong += differs(f"{name} PSNR of mean MSE", metrics["psnr_of_mean_mse_db"]["mean"], 10 * np.log10(255**2 / mse), 1e-9)
    return wrong


def check_rfid(binary, name, data, folder, sets):
    """By the engine that gives torch's bits: of few pictures, a level that lies between two is 0.1 % of the distance."""
    options = ("--protocol", name, "--metric-weights", folder / "weights-of-rfid")
    report, _ = evaluate(binary, data, folder / f"{name}-rfid", *options, engine="reference")
    expected = inception.distance(*sets)
    metrics = report["models"][0]["metrics"]
    wrong = differs(f"{name} rfid", metrics["rfid"]["value"], expected, RFID * expected)
    if name == "vae-fidelity-256":
        wrong += check_reference(binary, options, data, folder, sets)
    if name == "torch-fidelity":
        for share, of in inception.covered(*sets).items():
            if share in ("precision", "recall"):
                wrong += differs(f"{name} {share}", metrics[share]["value"], of, 0)
    return wrong


def check_reference(binary, options, data, folder, sets):
    """Statistics of a file in place of what went in: of other pictures as pytorch-fid saves them, and of the same ones."""
    first = folder / "vae-fidelity-256-rfid"
    other = np.concatenate([of.numpy() for of in sets[0]]).astype(np.float64)[:, ::-1] * 1.1
    np.savez_compressed(folder / "other.npz", mu=other.mean(axis=0), sigma=np.cov(other, rowvar=False))
    found = []
    for at, reference in enumerate((folder / "other.npz", first / "features/input.npy")):
        out = folder / f"reference-{at}"
        report, _ = evaluate(binary, data, out, *options, "--reference", reference, engine="reference")
        found.append(report["models"][0]["metrics"]["rfid"]["value"])
    expected = inception.distance([torch.from_numpy(np.ascontiguousarray(other)).float()], sets[1])
    wrong = differs("rfid against a file", found[0], expected, RFID * expected)
    itself = json.loads((first / "result.json").read_text())["models"][0]["metrics"]["rfid"]["value"]
    return wrong + differs("rfid against its own features", found[1], itself, 0)


def check_protocol(binary, vae, name, data, pictures, folder, extractors):
    weights = folder / "weights"
    report, rows = evaluate(binary, data, folder / name, "--protocol", name, "--metric-weights", weights)
    transform, drawn, metrics = PROTOCOLS[name]
    extract, sets = extractors.get("torch-fidelity" if name in ("llamagen", "torch-fidelity") else "pytorch-fid"), ([], [])
    models, dists = lpips_models(name, weights), perceptual_weights.load_dists(weights)
    wrong, latents, maps = [], [], evaluation_maps.Maps()
    for row in rows:
        picture = Image.open(io.BytesIO(pictures[row["id"].rsplit("/", 1)[-1]])).convert("RGB")
        x = normalize(transform(picture))
        z, mean, logvar, y = trip(vae, x, row["id"], drawn)
        latents.append((z, mean, logvar))
        maps.add(x, y, z, ROUNDED.get(name, levels))
        psnr, ssim = metrics(x, y)
        for tensor, features in zip((x, y), sets if extract else ()):
            rounded = ROUNDED.get(name, levels)(tensor).transpose(2, 0, 1)[None]
            with torch.no_grad():
                features.append(extract(torch.from_numpy(np.ascontiguousarray(rounded))))
        wrong += differs(f"{name} {row['id']} psnr_db", row["psnr_db"], psnr, PSNR_DB)
        wrong += differs(f"{name} {row['id']} ssim", row["ssim"], ssim, SSIM)
        for net in NETS:
            if net not in models:
                wrong += [] if row[f"lpips_{net}"] is None else [f"{name}: LPIPS ({net}), which is not its own"]
                continue
            with torch.no_grad():
                distance = LPIPS_OF[name][2](models[net], x, y)
            wrong += differs(f"{name} {row['id']} lpips_{net}", row[f"lpips_{net}"], distance, LPIPS)
        if name.startswith("vae-fidelity"):
            wrong += differs(f"{name} {row['id']} dists", row["dists"], dists_of_levels(dists, x, y), DISTS)
    wrong += check_rfid(binary, name, data, folder, sets) if extract else []
    model = report["models"][0]
    for map, what, expected, tolerance in maps.expected():
        wrong += differs(f"{name} {map}.{what}", evaluation_maps.found(model, map, what), expected, tolerance)
    if len(rows) != len(pictures):
        wrong.append(f"{name}: {len(rows)} rows of {len(pictures)} pictures")
    return wrong + check_latents(name, model["latents"], latents) + check_summary(name, report, rows)


def check_containers(binary, pictures, folder):
    """The same pictures in folders, archives and parquet files: the same numbers, under their own names."""
    by_container = {}
    for write in (write_folder, write_tars, write_parquet):
        write(pictures, folder / write.__name__)
        report, rows = evaluate(binary, folder / write.__name__, folder / f"{write.__name__}-out")
        if report["errors"] or report["duplicates"]["pictures"]:
            return [f"{write.__name__}: {report['failures']} {report['duplicates']}"]
        by_container[write.__name__] = {row["sha256"]: (row["psnr_db"], row["ssim"], row["mse"]) for row in rows}
        known = {hashlib.sha256(data).hexdigest() for _, data in pictures}
        if set(by_container[write.__name__]) != known:
            return [f"{write.__name__}: other pictures than were written"]
    wrong = [
        f"{name}: other numbers than in a folder"
        for name, numbers in by_container.items()
        if numbers != by_container["write_folder"]
    ]
    write_nulls(pictures, folder / "nulls")
    report, rows = evaluate(binary, folder / "nulls", folder / "nulls-out")
    holes = [row["id"] for row in rows if row["error"]]
    expected = [f"x.parquet/{index}/mask" for index in range(0, len(pictures), 2)]
    if holes != expected or len(rows) != 2 * len(pictures):
        wrong.append(f"nulls: expected errors for {expected}, found {holes} of {len(rows)} rows")
    return wrong


def check_table(binary, pictures, folder):
    """What `check --table` writes as parquet is what it writes as JSON."""
    data = folder / "table"
    write_folder(pictures[:2], data)
    (data / "broken.png").write_text("none")
    tables = [folder / "table.jsonl", folder / "table.parquet"]
    images = sorted(path for path in data.rglob("*") if path.is_file())
    for table in tables:
        command = [
            binary,
            "check",
            *images,
            "--engine",
            "fast",
            "--device",
            "cpu",
            "--out-dir",
            folder / "decoded",
            "--table",
            table,
        ]
        subprocess.run(command, capture_output=True)
    lines = [json.loads(line) for line in tables[0].read_text().splitlines()]
    same = pyarrow.parquet.read_table(tables[1]).to_pylist() == lines
    judged = [line["psnr_db"] is not None for line in lines]
    return [] if same and sorted(judged) == [False, True, True] else [f"check --table: parquet and JSON differ: {lines}"]


def check_equivariance(binary, vae, pictures, folder):
    """Latents turned and halved, as EQ-VAE's training changes them."""
    named = ROOT / "crates/evaluation/src/protocol/published/vae-fidelity-256.toml"
    protocol = folder / "equivariance.toml"
    protocol.write_text(named.read_text().replace("equivariance = false", "equivariance = true"))
    data, wrong = folder / "write_folder", []
    _, rows = evaluate(binary, data, folder / "equivariance", "--protocol", protocol)
    for row in rows:
        picture = Image.open(io.BytesIO(pictures[Path(row["id"]).name])).convert("RGB")
        x = normalize(to_tensor(resize_crop(picture, 256, BICUBIC)))
        z, *_ = trip(vae, x, row["id"], False)
        changes = {
            "rotation_psnr_db": lambda tensor: torch.rot90(tensor, k=1, dims=[-1, -2]),
            "scaling_psnr_db": lambda tensor: torch.nn.functional.interpolate(
                tensor, scale_factor=0.5, mode="bilinear", align_corners=False
            ),
        }
        for name, change in changes.items():
            with torch.no_grad():
                a, b = (levels(of, half_up=False) for of in (change(x), vae.decode(change(z)).sample))
            expected = peak_signal_noise_ratio(a, b, data_range=255)
            wrong += differs(f"{row['id']} {name}", row[name], expected, PSNR_DB)
    return wrong


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("binary", type=Path, help="the vae-fidelity to check")
    parser.add_argument("--pictures", type=int, default=7, help="how many [default: 7]")
    parser.add_argument("--protocols-alone", action="store_true", help="what is of each picture, which many pictures are for")
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS, help="only these [default: all]")
    args = parser.parse_args()
    binary = args.binary.resolve()
    torch.manual_seed(0)
    vae = AutoencoderKL.from_pretrained(MODEL, subfolder="vae").eval()
    pictures = list(photographs(args.pictures))
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        perceptual_weights.write(folder / "weights")
        inception_file = folder / "weights" / perceptual_weights.FILES["inception"]
        (folder / "weights-of-rfid").mkdir()
        inception_file.rename(folder / "weights-of-rfid" / inception_file.name)
        data, extractors = folder / "write_folder", {}
        if args.protocols_alone:
            write_folder(pictures, data)
        else:
            wrong += check_containers(binary, pictures, folder)
            wrong += check_table(binary, pictures, folder)
            wrong += check_equivariance(binary, vae, dict(pictures), folder)
            extractors = inception.networks()
        protocols = args.protocol or list(PROTOCOLS)
        for protocol in protocols:
            wrong += check_protocol(binary, vae, protocol, data, dict(pictures), folder, extractors)
    for line in wrong:
        print(line)
    files = "a folder" if args.protocols_alone else "3 kinds of files"
    print(f"{args.pictures} pictures in {files} and by {len(protocols)} protocols, {len(wrong)} numbers differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
