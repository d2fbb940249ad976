"""Times the networks of LPIPS, DISTS and rFID in `vae-fidelity evaluate` beside their authors' packages on torch.

    scripts/python.sh -m vae_fidelity_tools.measurement.metric_networks

A network's time in `evaluate` is what a pair of pictures of 256 x 256 adds to a run with it, less what it adds to a run
without any: seconds of many pictures less those of a quarter of them, so that loading is left out. torch's is that of the
same pairs in batches, its weights loaded and warm. Runs alternate. stdout is a markdown table.

Exit code 2: could not be measured.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import lpips
import torch

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import MODELS, ROOT
from vae_fidelity_tools.conformance import inception, perceptual_weights
from vae_fidelity_tools.measurement.evaluation_speed import SIDE, Pictures
from vae_fidelity_tools.measurement.round_trips import machine, timed
from vae_fidelity_tools.pictures.data_sets import photographs, write_folder

NETWORKS = ("alex", "vgg", "squeeze", "dists", "rfid")
BATCH = 8


def protocol(folder, network):
    """With one network's metric alone; `None` for none at all."""
    text = (ROOT / "crates/evaluation/src/protocol/published/vae-fidelity-256.toml").read_text()
    others = {name: f"\n{name} = true" for name in ("ssimulacra2", "butteraugli", "dists", "alex", "vgg", "squeeze")}
    for name, line in others.items():
        if name != network:
            text = text.replace(line, f"\n{name} = false")
    if network != "rfid":
        text = text.replace('rfid = "pytorch-fid"', 'rfid = "none"')
    path = folder / f"{network}.toml"
    path.write_text(text.replace("vae-fidelity-256", f"only-{network}"))
    return path


def on_torch(network, folder):
    """From levels (N, 3, H, W) of two sets of pictures to what is compared."""
    if network == "rfid":
        features = inception.networks()["pytorch-fid"]
        return lambda a, b: (features(a), features(b))
    if network == "dists":
        dists = perceptual_weights.load_dists(folder)
        return lambda a, b: dists(a / 255, b / 255)
    model = perceptual_weights.load(lpips.LPIPS(net=network, pnet_rand=True, verbose=False), folder)
    return lambda a, b: model(a / 127.5 - 1, b / 127.5 - 1)


def torch_seconds(compared, pictures):
    started = time.perf_counter()
    with torch.inference_mode():
        for start in range(0, len(pictures), BATCH):
            a = pictures[start : start + BATCH].float()
            compared(a, a.flip(-1))
    return time.perf_counter() - started


def main():
    parser = arguments.parser(__doc__)
    arguments.add_binary(parser, "cargo build --release")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--runs", type=int, default=3, help="of each side [default: 3]")
    args = parser.parse_args()
    binary = args.binary or checkout.binary("--release")
    own, other = {network: [] for network in NETWORKS}, {network: [] for network in NETWORKS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        perceptual_weights.write(folder / "weights")
        few = args.pictures // 4
        for count in (few, args.pictures):
            write_folder(photographs(count), folder / f"data-{count}")
        pictures = torch.stack(list(Pictures(folder / f"data-{args.pictures}")))

        def seconds(network, run, count):
            command = [binary, "evaluate", folder / f"data-{count}", "--repo", MODELS / "builtin", "--engine", "fast"]
            asked = ["--protocol", protocol(folder, network), "--metric-weights", folder / "weights"]
            return timed([*command, *asked, "--out", folder / f"out-{network}-{run}-{count}", "--json"])[0]["wall_s"]

        def each(network, run):
            return (seconds(network, run, args.pictures) - seconds(network, run, few)) / (args.pictures - few)

        for network in NETWORKS:
            compared = on_torch(network, folder / "weights")
            torch_seconds(compared, pictures[:BATCH])
            for run in range(args.runs):
                own[network].append(each(network, run) - each(None, f"{network}-{run}"))
                other[network].append(torch_seconds(compared, pictures) / args.pictures)
    print("| network | ms a pair | torch's | times torch's |\n|---|---|---|---|")
    for network in NETWORKS:
        a, b = (1000 * statistics.median(of[network]) for of in (own, other))
        if a <= 0:
            print(f"{network}: lost in noise, take more pictures", file=sys.stderr)
            sys.exit(2)
        print(f"| {network} | {a:.1f} | {b:.1f} | {a / b:.2f} |")
    print(f"\n({machine()}; {SIDE} x {SIDE}, {args.pictures} pictures, medians of {args.runs} runs)")


if __name__ == "__main__":
    main()
