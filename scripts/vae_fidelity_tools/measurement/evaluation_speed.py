"""Times `vae-fidelity evaluate` beside the same in Python: whole processes, alternating, on the same pictures.

    scripts/python.sh -m vae_fidelity_tools.measurement.evaluation_speed --model builtin --pictures 5000
    scripts/python.sh -m vae_fidelity_tools.measurement.evaluation_speed --model sd-v1-4 --pictures 200

Both bring crops of photographs to 256 x 256, send them through the VAE, and compute PSNR, SSIM, MS-SSIM and LPIPS by
AlexNet. Python's side is diffusers and torchmetrics, with batches, a process that reads ahead, and glibc set to keep
freed memory. What counts are ratios of medians. stdout is a markdown table.

Exit code 1: the means disagree; 2: could not be measured.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import MODELS, program
from vae_fidelity_tools.conformance import perceptual_weights
from vae_fidelity_tools.conformance.evaluation_protocols import BICUBIC, resize_crop
from vae_fidelity_tools.goldens.recipe import repository
from vae_fidelity_tools.measurement.round_trips import TUNED, machine, timed
from vae_fidelity_tools.pictures.data_sets import photographs, write_folder

SIDE = 256
BATCHES = {"builtin": 16, "sd-v1-4": 4}
METRICS = ("psnr_db", "ssim", "ms_ssim", "lpips_alex")
# How far means may lie apart: torchmetrics' SSIM is of windows beyond the border, too.
APART = {"psnr_db": 0.01, "ssim": 0.01, "ms_ssim": 0.005, "lpips_alex": 0.001}


class Pictures(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as opened:
            picture = opened.convert("RGB")
        levels = np.asarray(resize_crop(picture, SIDE, BICUBIC))
        return torch.from_numpy(levels.transpose(2, 0, 1).copy())


def in_python(model, data, weights, batch):
    """{metric: mean}, as somebody writes it who takes care of speed."""
    from diffusers import AutoencoderKL
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure,
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    vae = AutoencoderKL.from_pretrained(model, subfolder="vae").eval()
    lpips = perceptual_weights.load(_NoTrainLpips(net="alex", pnet_rand=True), Path(weights))
    found = dict.fromkeys(METRICS, 0.0)
    loader = torch.utils.data.DataLoader(Pictures(data), batch_size=batch, num_workers=1)
    with torch.inference_mode():
        for levels in loader:
            x = levels.float() / 127.5 - 1
            y = vae.decode(vae.encode(x).latent_dist.mode()).sample
            a, b = levels.float(), ((y / 2 + 0.5).clamp(0, 1) * 255).round()
            unit = (a / 255, b / 255)
            psnr = peak_signal_noise_ratio(b, a, data_range=255.0, reduction="none", dim=(1, 2, 3))
            ssim = structural_similarity_index_measure(b, a, data_range=255.0, reduction="none")
            ms_ssim = multiscale_structural_similarity_index_measure(*unit, data_range=1.0, reduction="none", normalize=None)
            distances = lpips(unit[0] * 2 - 1, unit[1] * 2 - 1)
            for metric, values in zip(METRICS, (psnr, ssim, ms_ssim, distances)):
                found[metric] += float(values.sum())
    return {metric: total / len(loader.dataset) for metric, total in found.items()}


def protocol(path):
    """PSNR, SSIM, MS-SSIM and LPIPS by AlexNet of the square in the middle."""
    text = (checkout.ROOT / "crates/evaluation/src/protocol/published/vae-fidelity-256.toml").read_text()
    for without in ("ssimulacra2", "butteraugli", "dists", "vgg", "squeeze"):
        text = text.replace(f"\n{without} = true", f"\n{without} = false")
    path.write_text(text.replace('rfid = "pytorch-fid"', 'rfid = "none"').replace("vae-fidelity-256", "measured"))
    return path


def apart(own, other):
    return [f"{name}: {own[name]:.5f} and {other[name]:.5f}" for name in METRICS if not abs(own[name] - other[name]) <= APART[name]]


def main():
    parser = arguments.parser(__doc__)
    arguments.add_binary(parser, "cargo build --release")
    parser.add_argument("--model", choices=BATCHES, default="builtin")
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3, help="of each side [default: 3]")
    parser.add_argument("--in-python", nargs=3, metavar=("MODEL", "DATA", "WEIGHTS"), help="only Python's side, once")
    args = parser.parse_args()
    if args.in_python:
        model, data, weights = args.in_python
        print(json.dumps(in_python(model, data, weights, BATCHES[args.model])))
        return 0
    binary = args.binary or checkout.binary("--release")
    figures, means = {"vae-fidelity": [], "Python": []}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = MODELS / "builtin" if args.model == "builtin" else repository(MODELS / args.model, folder)
        perceptual_weights.write(folder / "weights")
        write_folder(photographs(args.pictures), folder / "data")
        asked = ["--metric-weights", folder / "weights", "--protocol", protocol(folder / "measured.toml"), "--json"]
        for run in range(args.runs):
            own = [binary, "evaluate", folder / "data", "--repo", model, "--engine", "fast", "--out", folder / f"out-{run}"]
            figure, stdout = timed([*own, *asked])
            figures["vae-fidelity"].append(figure)
            metrics = json.loads(stdout)["models"][0]["metrics"]
            means["vae-fidelity"] = {metric: metrics[metric]["mean"] for metric in METRICS}
            other = [*program("measurement.evaluation_speed"), "--model", args.model, "--in-python"]
            figure, stdout = timed([*other, model, folder / "data", folder / "weights"], TUNED)
            if not stdout.startswith("{"):
                sys.exit(2)
            figures["Python"].append(figure)
            means["Python"] = json.loads(stdout)
    print(
        "| side | pictures a second | CPU busy | peak MiB | PSNR, dB | SSIM | MS-SSIM | LPIPS |\n|---|---|---|---|---|---|---|---|"
    )
    seconds = {}
    for side, runs in figures.items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        seconds[side] = median["wall_s"]
        cores = machine().split()[0]
        busy = median["cpu_s"] / median["wall_s"] / int(cores)
        cells = [side, f"{args.pictures / median['wall_s']:.2f}", f"{busy:.0%}", f"{median['peak_mib']:.0f}"]
        print(f"| {' | '.join([*cells, *(f'{means[side][metric]:.4f}' for metric in METRICS)])} |")
    ratios = [b["wall_s"] / a["wall_s"] for a, b in zip(*figures.values())]
    print(
        f"\n{args.model} at {SIDE}, {args.pictures} pictures: {seconds['Python'] / seconds['vae-fidelity']:.2f} times Python's rate"
    )
    print(f"(runs {min(ratios):.2f} to {max(ratios):.2f}; {machine()})")
    wrong = apart(means["vae-fidelity"], means["Python"])
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
