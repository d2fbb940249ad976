"""Times this crate beside its peers: whole processes, alternating, on the same weights and picture.

    scripts/python.sh -m vae_fidelity_tools.measurement.speed --gist debug_diffusion_vae.py
    scripts/python.sh -m vae_fidelity_tools.measurement.speed --gist debug_diffusion_vae.py --side 256 --runs 3 \\
        --only gist --only fast --plot speed.svg

Weights are the golden recipe's, the full Stable Diffusion 1.4 graph. Every round runs each side once,
so that a noisy clock hits all alike; what counts are ratios of medians. Outputs are compared with
the gist's. stdout is a markdown table; --json F keeps every single figure. OpenVINO comes with pip, on
demand; candle is built by cargo from examples/candle.

Exit code 1: a side's output disagrees; 2: could not be measured.
"""

import json
import statistics
import sys
import tempfile

import numpy as np

from vae_fidelity_tools.measurement import round_trips
from vae_fidelity_tools.measurement.round_trips import OWN, PEERS

SIDES = ("gist", *OWN, *PEERS, "candle")
LEAST_DB = 60.0  # a picture and the gist's


def picture_of(output):
    if "picture" in output:
        return output["picture"]
    decoded = output["decoded"][0].transpose(1, 2, 0).astype(np.float64)
    return np.rint(np.clip(decoded / 2 + 0.5, 0, 1) * 255)


def psnr_db(a, b):
    mse = np.mean((a - b) ** 2)
    return float("inf") if mse == 0 else 10 * np.log10(255**2 / mse)


def table(figures, agreement, gist):
    lines = [
        "| side | whole process s | of it encode, decode s | CPU s | peak MiB | times the gist's speed "
        "| picture agrees with the gist's, dB |",
        "|---|---|---|---|---|---|---|",
    ]
    for side, runs in figures.items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        inner = f"{median['encode_s']:.1f}, {median['decode_s']:.1f}" if "encode_s" in median else ""
        ratio = f"{gist / median['wall_s']:.2f}" if gist else ""
        same = "identical" if agreement[side] == float("inf") else f"{agreement[side]:.1f}"
        cells = [side, f"{median['wall_s']:.1f}", inner, f"{median['cpu_s']:.1f}", f"{median['peak_mib']:.0f}", ratio, same]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(figures, path):
    """Bars of the medians, as an SVG that reads on light and dark."""
    medians = {side: statistics.median(run["wall_s"] for run in runs) for side, runs in figures.items()}
    longest, height = max(medians.values()), 30
    rows = []
    for row, (side, seconds) in enumerate(sorted(medians.items(), key=lambda item: item[1])):
        y, width = 10 + row * height, max(2, 420 * seconds / longest)
        colour = "#2f6fdf" if side in OWN else "#8a8f98"
        # speed_peer.py: its process runs the picture twice.
        label = f"{side} (two trips)" if side == "torch.compile" else side
        rows.append(
            f'<text x="180" y="{y + 16}" text-anchor="end">{label}</text>'
            f'<rect x="190" y="{y}" width="{width:.0f}" height="22" rx="3" fill="{colour}"/>'
            f'<text x="{196 + width:.0f}" y="{y + 16}">{seconds:.1f} s</text>'
        )
    style = "text{font:14px sans-serif;fill:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
    total = 20 + height * len(rows)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {total}" width="680">'
    path.write_text(f"{head}<style>{style}</style>{''.join(rows)}</svg>\n")


def main():
    parser = round_trips.parser(__doc__, 5, "rounds", SIDES)
    parser.add_argument("--side", type=int, default=512, help="height and width (default 512)")
    args = parser.parse_args()
    sides = args.only or SIDES
    with tempfile.TemporaryDirectory() as folder:
        bench = round_trips.bench(args, folder)
        for side in sides:
            bench.prepare(side)
        figures, outputs = {side: [] for side in sides}, {}
        for round_ in range(args.runs):
            for side in sides:
                figure, outputs[side] = bench.run(side)
                figures[side].append(figure)
                print(f"[{round_ + 1}/{args.runs}] {side}: {figure['wall_s']:.1f} s, {figure['peak_mib']:.0f} MiB", file=sys.stderr)
        expected = picture_of(outputs["gist" if "gist" in sides else sides[0]])
        agreement = {side: psnr_db(expected, picture_of(output)) for side, output in outputs.items()}
    gist = statistics.median(run["wall_s"] for run in figures["gist"]) if "gist" in figures else None
    print(table(figures, agreement, gist))
    print(f"\n{args.side} x {args.side}, medians of {args.runs} alternating runs, {round_trips.machine()}.")
    if args.json:
        args.json.write_text(json.dumps({"side": args.side, "figures": figures}, indent=1) + "\n")
    if args.plot:
        plot(figures, args.plot)
    wrong = [side for side, db in agreement.items() if not db >= LEAST_DB]
    if wrong:
        print(f"disagrees: {', '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
