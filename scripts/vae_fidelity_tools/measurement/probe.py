"""Measures what probe says of sound VAEs and of broken ones, from which its bars are taken.

    scripts/python.sh -m vae_fidelity_tools.measurement.probe [--new]

Writes tests/probe.json and tests/probe.md: the trained VAEs of the repository as they are, rounded and
quantised, at 128 and 256 pixels a side, and every fault of tests/suite/probe/faults.rs in them. Prints for
each number the worst that a sound one had, rounded up for WORST_OF_SOUND of crates/probe/src/bars.rs. Exits
with 1 where a fault does not rank below every sound VAE. Half an hour on two cores.
"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT

BARS = ROOT / "crates/probe/src/bars.rs"
JUDGED = ROOT / "crates/probe/src/judged.rs"
DIGITS = 6
# Not measured but meant: see WORST_OF_SOUND.
MEANT = ("repeat_share", "posterior_std_share", "conversion_mean_levels")


def run(out, new):
    environment = dict(os.environ, VAE_FIDELITY_PROBE_ROWS=str(out))
    if new:
        environment["VAE_FIDELITY_PROBE_NEW"] = "1"
    command = "cargo test --locked --test suite -- --ignored --exact probe::ranking::measured --nocapture"
    subprocess.run(command.split(), cwd=ROOT, env=environment, check=True)
    return json.loads(out.read_text())


def rounded(row):
    values = {name: value and float(f"{value:.{DIGITS}g}") for name, value in row["values"].items()}
    return {**row, "values": values}


def bars():
    """From the source: scale by name, the worst of sound VAEs by name, and the margin."""
    source = BARS.read_text()
    scales = dict(re.findall(r'"(\w+)",\s+"[^"]+",\s+"[^"]*",\s+Scale::(\w+)', source))
    scales |= dict(re.findall(r'name: "(\w+)",\s+label: "[^"]+",\s+unit: "[^"]*",\s+scale: Scale::(\w+)', source))
    table = source.split("WORST_OF_SOUND: ", 1)[1].split("];", 1)[0]
    worst = {name: float(value) for name, value in re.findall(r'\("(\w+)", ([\d.e-]+)\)', table)}
    margin = float(re.search(r"MARGIN: f64 = ([\d.]+)", JUDGED.read_text())[1])
    return scales, worst, margin


def badness(scale, value):
    """How bad a value is: larger is worse; NaN and what is missing are worst."""
    if value is None or math.isnan(value):
        return math.inf
    if scale == "Loss":
        return value
    if scale == "ShareOfOne":
        return abs(1 - value)
    if scale == "Amount":
        return 1 / value if value > 0 else math.inf
    return max(value, 1 / value) if value > 0 else math.inf


def room(scale, worst, margin, value):
    """As bars.rs has it, in dB."""
    bad = badness(scale, value)
    times = margin * badness(scale, worst) / bad if bad else math.inf
    return max(-60.0, min(60.0, 20 * math.log10(times))) if times else -60.0


def score(row, scales, worst, margin):
    if row["non_finite"]:
        return -60.0, "not finite"
    rooms = [(room(scales[n], worst[n], margin, value), n) for n, value in row["values"].items()]
    return min(rooms)


def up(scale, values):
    """The worst of `values`, rounded to two digits towards the worse."""
    at = max(values, key=lambda value: badness(scale, value))
    step = 10.0 ** (math.floor(math.log10(abs(at))) - 1)
    larger = scale == "Loss" or (scale == "Ratio" and at > 1)
    found = (math.ceil if larger else math.floor)(at / step) * step
    return 1 / found if scale == "Ratio" and at < 1 else found


def markdown(rows, scales, worst, margin):
    of = {kind: [row for row in rows if row["kind"] == kind] for kind in ("sound", "fault", "unseen")}
    lines = [
        "# What probe says of sound VAEs and of broken ones",
        "",
        "Written by `scripts/python.sh -m vae_fidelity_tools.measurement.probe`: not edited by hand.",
        f"Sound are {len(of['sound'])} forms of two trained VAEs; the score is the least room to a bar in dB, and a bar lies",
        f"{margin:g} times as far off as the worst of them.",
        "",
        "| number | best of sound | worst of sound | bar is set from |",
        "|---|---|---|---|",
    ]
    for name, bar in worst.items():
        values = [row["values"][name] for row in of["sound"] if row["values"].get(name) is not None]
        if not values:
            lines.append(f"| `{name}` | - | - | {bar:g} |")
            continue
        values.sort(key=lambda value: badness(scales[name], value))
        lines.append(f"| `{name}` | {values[0]:.4g} | {values[-1]:.4g} | {bar:g} |")
    titles = {
        "sound": "Sound",
        "fault": "Faults",
        "unseen": "Faults that charts do not show",
    }
    for kind, title in titles.items():
        lines += ["", f"## {title}", "", "| what | model | size | score | limited by |", "|---|---|---|---|---|"]
        scored = sorted(((*score(row, scales, worst, margin), row) for row in of[kind]), key=lambda found: -found[0])
        lines += [
            f"| {row['name']} | {row['model']} | {row['size_pixels']} | {found:+.1f} dB | {by} |" for found, by, row in scored
        ]
    return "\n".join(lines) + "\n"


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--new", action="store_true", help="measure only what tests/probe.json lacks")
    new = parser.parse_args().new
    with tempfile.TemporaryDirectory() as folder:
        rows = [rounded(row) for row in run(Path(folder) / "rows.json", new)]
    scales, worst, margin = bars()
    sound = [row for row in rows if row["kind"] == "sound"]
    for name in worst:
        values = [row["values"][name] for row in sound if row["values"].get(name) is not None]
        if name not in MEANT:
            print(f'    ("{name}", {up(scales[name], values):.4g}),')
    (ROOT / "tests/probe.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    (ROOT / "tests/probe.md").write_text(markdown(rows, scales, worst, margin))
    least = min(score(row, scales, worst, margin)[0] for row in sound)
    above = [row for row in rows if row["kind"] == "fault" and score(row, scales, worst, margin)[0] >= least]
    for row in above:
        print(f"not below every sound VAE ({least:+.1f} dB):", row["name"], row["model"], score(row, scales, worst, margin))
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()
