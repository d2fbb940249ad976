"""What an evaluation of ImageNet's 50,000 validation pictures costs on many machines: measured rates, the rest simulated.

    scripts/python.sh -m vae_fidelity_tools.measurement.evaluation_cost --pictures 40

Measured on this machine are the seconds of `evaluate` by the protocol vae-fidelity-256 on crops of photographs, for one
picture and for as many as are asked for: what is begun with, and what each picture adds. Simulated is a run of one shard a
machine: none starts at the same time, and none is exactly as fast. On a GPU a picture takes the milliseconds of
docs/src/cuda.md, and its metrics the processors' seconds that the built-in VAE's run takes, of which the VAE is a part: so
those are at most. stdout is a markdown table.

Exit code 2: could not be measured.
"""

import random
import statistics
import tempfile
from pathlib import Path

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import MODELS
from vae_fidelity_tools.goldens.recipe import repository
from vae_fidelity_tools.measurement.evaluation_speed import SIDE
from vae_fidelity_tools.measurement.round_trips import machine, timed
from vae_fidelity_tools.pictures.data_sets import photographs, write_folder

PICTURES = 50_000
MACHINES = (1, 16, 256)
# Seconds between the first machine of a queue and the last, and how much slower than the median one of seven is, as a share.
STARTS_WITHIN, SLOWER = 30.0, 0.1
# The full Stable Diffusion graph there and back at 256 x 256 in f16 on an H100, and the processors of that machine.
GPU_S, GPU_PROCESSORS = 3.4e-3, 16
RUNS = 200


def rate(binary, model, folder, pictures):
    """Seconds before the first picture, and wall and CPU seconds for each."""
    figures = []
    for count in (1, pictures):
        data = folder / f"data-{count}"
        if not data.exists():
            write_folder(photographs(count), data)
        out = folder / f"out-{Path(model).name}-{count}"
        command = [binary, "evaluate", data, "--repo", model, "--engine", "fast", "--protocol", "vae-fidelity-256", "--out", out]
        figures.append(timed([*command, "--json"])[0])
    first, all_of_them = figures
    each = {key: (all_of_them[key] - first[key]) / (pictures - 1) for key in ("wall_s", "cpu_s")}
    return max(0.0, first["wall_s"] - each["wall_s"]), each["wall_s"], each["cpu_s"]


def simulated(machines, before_s, each_s):
    """Seconds until the last shard is done, the median of many runs, and machine seconds in all."""
    draw = random.Random(0)
    ends, works = [], []
    for _ in range(RUNS):
        shards = [PICTURES * (i + 1) // machines - PICTURES * i // machines for i in range(machines)]
        works.append([before_s + count * each_s * draw.lognormvariate(0, SLOWER) for count in shards])
        starts = sorted(draw.uniform(0, STARTS_WITHIN) for _ in range(machines))
        ends.append(max(start - starts[0] + work for start, work in zip(starts, works[-1])))
    return statistics.median(ends), statistics.median(map(sum, works))


def said(seconds):
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def main():
    parser = arguments.parser(__doc__)
    arguments.add_binary(parser, "cargo build --release")
    parser.add_argument("--pictures", type=int, default=40)
    args = parser.parse_args()
    binary = args.binary or checkout.binary("--release")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        full = rate(binary, repository(MODELS / "sd-v1-4", folder), folder, args.pictures)
        small = rate(binary, MODELS / "builtin", folder, args.pictures)
    gpu = (full[0], max(GPU_S, small[2] / GPU_PROCESSORS))
    sides = {
        "full Stable Diffusion graph, such machines": full[:2],
        "built-in VAE, such machines": small[:2],
        f"full Stable Diffusion graph, H100 and {GPU_PROCESSORS} processors": gpu,
    }
    print(
        f"| {PICTURES:,} pictures at {SIDE} x {SIDE} | a picture | "
        + " | ".join(f"{count}" for count in MACHINES)
        + " | machine hours |"
    )
    print("|---|---|" + "---|" * (len(MACHINES) + 1))
    for side, (before_s, each_s) in sides.items():
        runs = [simulated(count, before_s, each_s) for count in MACHINES]
        hours = [f"{work / 3600:.1f}" for _, work in (runs[0], runs[-1])]
        cells = [side, f"{1000 * each_s:.0f} ms", *(said(end) for end, _ in runs), " to ".join(dict.fromkeys(hours))]
        print(f"| {' | '.join(cells)} |")
    print(f"\n({machine()}; {args.pictures} pictures measured)")


if __name__ == "__main__":
    main()
