"""How time and memory grow with the picture: both engines, and the gist where it fits.

    scripts/python.sh -m vae_fidelity_tools.measurement.growth --gist debug_diffusion_vae.py --plot growth.svg
    scripts/python.sh -m vae_fidelity_tools.measurement.growth --gist debug_diffusion_vae.py --side 256 --side 512 \\
        --max-memory 8G

Whole processes on the full Stable Diffusion 1.4 graph, one round trip each. A run that would not fit
into memory, by four times what a quarter of its pixels took, is left out and said so. `--max-memory`
adds the fast engine held to that much. stdout is a markdown table; --json F keeps every figure.

Attention in the mid blocks grows with the square of the pixels; its share of all operations is
counted from the graph, not measured.

Exit code 2: could not be measured.
"""

import json
import math
import statistics
import sys
import tempfile
from pathlib import Path

from vae_fidelity_tools.measurement import round_trips
from vae_fidelity_tools.measurement.round_trips import OWN

SIDES = (256, 512, 1024, 2048)
COLOURS = {"gist": "#8a8f98", "reference": "#2f6fdf", "fast": "#d9480f", "fast limited": "#2b8a3e"}


def available_mib():
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) / 1024


def operations(side):
    """Operations of a round trip but for attention over positions, and those of that, in TFLOP."""
    # Convolutions and linear layers: 1.082 + 2.480 at 512 less the two attentions there.
    tokens = (side / 8) ** 2
    attention = 2 * 4 * tokens**2 * 512 / 1e12
    at_512 = 2 * 4 * 4096**2 * 512 / 1e12
    return (1.082 + 2.480 - at_512) * (side / 512) ** 2, attention


def run(bench, system, limit):
    return bench.check("fast", "--max-memory", limit) if system == "fast limited" else bench.run(system)[0]


def fits(figures, system, side):
    """Whether four times what half the side took is there; what never ran is tried."""
    before = figures.get((system, side // 2))
    if system == "fast limited":
        return True
    if (system, side // 2) in figures and before is None:
        return False
    return before is None or 4 * before["peak_mib"] < 0.9 * available_mib()


def table(figures, systems, sides):
    lines = [
        "| side | " + " | ".join(f"{system}: s, MiB, s a megapixel" for system in systems) + " | of all operations, attention |"
    ]
    lines.append("|---" * (len(systems) + 2) + "|")
    for side in sides:
        row = [str(side)]
        for system in systems:
            figure = figures.get((system, side))
            if figure is None:
                row.append("does not fit")
            else:
                row.append(f"{figure['wall_s']:.1f}, {figure['peak_mib']:.0f}, {figure['wall_s'] / (side * side / 1e6):.1f}")
        rest, attention = operations(side)
        lines.append(f"| {' | '.join(row)} | {100 * attention / (rest + attention):.0f} % |")
    return "\n".join(lines)


def plot(figures, systems, sides, path):
    """Seconds and MiB over the side, both logarithmic, as an SVG that reads on light and dark."""
    parts = []
    for panel, (key, label) in enumerate((("wall_s", "seconds"), ("peak_mib", "peak MiB"))):
        points = {s: [(side, figures[s, side][key]) for side in sides if figures.get((s, side))] for s in systems}
        values = [value for line in points.values() for _, value in line]
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        left, width, top, height = 60 + panel * 380, 300, 30, 240

        def x(side):
            return left + width * (
                math.log2(side / sides[0]) / max(1e-9, math.log2(sides[-1] / sides[0])) if len(sides) > 1 else 0.5
            )

        def y(value):
            return top + height * (1 - (math.log10(value) - low) / max(1, high - low))

        parts.append(f'<text x="{left}" y="18">{label}</text>')
        for decade in range(low, high + 1):
            at = y(10**decade)
            parts.append(f'<line x1="{left}" x2="{left + width}" y1="{at:.0f}" y2="{at:.0f}" class="grid"/>'
                         f'<text x="{left - 6}" y="{at + 4:.0f}" text-anchor="end">{10**decade:g}</text>')  # fmt: skip
        for side in sides:
            parts.append(f'<text x="{x(side):.0f}" y="{top + height + 20}" text-anchor="middle">{side}</text>')
        for row, (system, line) in enumerate(points.items()):
            colour = COLOURS[system]
            path_points = " ".join(f"{x(side):.1f},{y(value):.1f}" for side, value in line)
            dots = "".join(f'<circle cx="{x(side):.1f}" cy="{y(value):.1f}" r="4" fill="{colour}"/>' for side, value in line)
            parts.append(f'<polyline points="{path_points}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}')
            if panel == 0:
                parts.append(f'<rect x="{60 + row * 150}" y="306" width="12" height="12" fill="{colour}"/>'
                             f'<text x="{78 + row * 150}" y="317">{system}</text>')  # fmt: skip
    style = ("text{font:13px sans-serif;fill:#1f2328}.grid{stroke:#8a8f98;stroke-opacity:.35}"
             "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}")  # fmt: skip
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 330" width="780"><style>{style}</style>{"".join(parts)}</svg>\n'
    )


def main():
    parser = round_trips.parser(__doc__, 1, "runs of each, of which the median counts", ("gist", *OWN))
    parser.add_argument("--side", type=int, action="append", help=f"may be repeated (default {', '.join(map(str, SIDES))})")
    parser.add_argument("--max-memory", metavar="SIZE", help="also run the fast engine with this limit")
    args = parser.parse_args()
    sides, figures = sorted(set(args.side or SIDES)), {}
    systems = [*(args.only or ("gist", *OWN)), *(["fast limited"] if args.max_memory else [])]
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            args.side = side
            (Path(folder) / str(side)).mkdir()
            bench = round_trips.bench(args, Path(folder) / str(side))
            args.binary = bench.binary
            for system in systems:
                if not fits(figures, system, side):
                    figures[system, side] = None
                    print(f"{side}: {system} would not fit into {available_mib():.0f} MiB", file=sys.stderr)
                    continue
                runs = [run(bench, system, args.max_memory) for _ in range(args.runs)]
                figures[system, side] = {key: statistics.median(one[key] for one in runs) for key in runs[0]}
                print(
                    f"{side}: {system} {figures[system, side]['wall_s']:.1f} s, {figures[system, side]['peak_mib']:.0f} MiB",
                    file=sys.stderr,
                )
    print(table(figures, systems, sides))
    print(f"\nMedians of {args.runs} run(s), {round_trips.machine()}.")
    if args.json:
        args.json.write_text(
            json.dumps([{"system": system, "side": side, **(figure or {})} for (system, side), figure in figures.items()], indent=1)
            + "\n"
        )
    if args.plot:
        plot(figures, systems, sides, args.plot)


if __name__ == "__main__":
    main()
