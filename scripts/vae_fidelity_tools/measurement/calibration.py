#!/usr/bin/env python3
"""Plants every fault of tests/suite/diagnosis in photographs, and writes how many were found.

    scripts/python.sh -m vae_fidelity_tools.measurement.calibration            # the pictures that no rule was tuned on
    scripts/python.sh -m vae_fidelity_tools.measurement.calibration --tune     # those that rules are tuned on; writes nothing

The first writes tests/calibration.md and tests/calibration.json, and exits with 1 if fewer than 25
causes are found in 95 % of their strong injections, or a clean run has an error. Causes that are found
less often are printed; their findings are to be warnings.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT
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
LEAST_CAUSES, LEAST_FOUND = 25, 0.95


def write_pictures(folder, cuts):
    for name, corners in cuts.items():
        picture = photograph(name)
        for number, (left, top) in enumerate(corners):
            side = (left, top, left + CUT[0], top + CUT[1])
            if side[2] > picture.width or side[3] > picture.height:
                raise SystemExit(f"{name} is too small for a cut at {left}, {top}")
            picture.crop(side).save(folder / f"{name}-{number}.png")


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


def run(folder, out):
    environment = dict(os.environ)
    environment["VAE_FIDELITY_CALIBRATION_PICTURES"] = str(folder)
    environment["VAE_FIDELITY_CALIBRATION_MATRIX"] = str(out)
    # Threads of pictures this small only wait for each other.
    environment.setdefault("OMP_NUM_THREADS", "1")
    command = "cargo test --locked --test suite -- --ignored --exact diagnosis::calibration --nocapture"
    subprocess.run(command.split(), cwd=ROOT, env=environment, check=True)
    return json.loads(out.read_text())


def summarised(matrix):
    rows = defaultdict(lambda: {"strong": [], "weak": [], "models": set(), "also": Counter()})
    for row in matrix["planted"]:
        into = rows[row["cause"], row["code"]]
        into["strong" if row["strong"] else "weak"].append(row["found"])
        into["models"].add(row["model"])
        into["also"].update(c for c in row["codes"] if not c.startswith(row["code"] + " ") and "(info)" not in c)
    causes = [
        {
            "cause": cause,
            "code": code,
            "models": sorted(row["models"]),
            "strong": len(row["strong"]),
            "strong_found": sum(row["strong"]),
            "weak": len(row["weak"]),
            "weak_found": sum(row["weak"]),
            "other_codes": dict(sorted(row["also"].items())),
        }
        for (cause, code), row in sorted(rows.items(), key=lambda item: item[0][1])
    ]
    cases = defaultdict(list)
    for row in matrix["clean"]:
        cases[row["case"]].append(row)
    clean = [
        {
            "case": case,
            "runs": len(rows),
            "with_errors": sum(bool(row["errors"]) for row in rows),
            "with_warnings": sum(bool(row["warnings"]) for row in rows),
            "warnings": dict(Counter(w.split(":")[0] for row in rows for w in row["warnings"])),
        }
        for case, rows in cases.items()
    ]
    pictures = sorted({row["picture"] for row in matrix["planted"]})
    others = sorted({row["picture"] for row in matrix["clean"]} - set(pictures))
    return {"pictures": pictures, "clean_pictures": others, "causes": causes, "clean": clean}


def share(found, of):
    return f"{found} of {of} ({100 * found / of:.0f} %)" if of else "-"


def markdown(summary):
    lines = [
        "# What is found of what was planted",
        "",
        "Written by `scripts/python.sh -m vae_fidelity_tools.measurement.calibration`: not edited by hand.",
        "Every fault of `tests/suite/diagnosis/faults.rs` and `tests/suite/diagnosis/weights.rs` planted in photographs that no",
        f"rule was tuned on ({len(summary['pictures'])} cuts of {len(TEST)} photographs). Strong is what a person sees; which that",
        "is, is fixed in those files. A fault that changes nothing to be seen in a picture (the order of channels",
        "of a grey one) is not counted there.",
        "",
        "| planted | has to be found as | models | strong ones found | weak ones found | also found |",
        "|---|---|---|---|---|---|",
    ]
    for row in summary["causes"]:
        also = ", ".join(f"{code} {count}" for code, count in row["other_codes"].items()) or "-"
        lines.append(
            f"| {row['cause']} | `{row['code']}` | {', '.join(row['models'])} "
            f"| {share(row['strong_found'], row['strong'])} "
            f"| {share(row['weak_found'], row['weak'])} | {also} |"
        )
    lines += [
        "",
        f"Clean runs: the photographs, and {len(summary['clean_pictures'])} pictures that are none "
        f"({', '.join(name.removeprefix('clean-') for name in summary['clean_pictures'])}).",
        "",
        "| clean | runs | with an error | with a warning |",
        "|---|---|---|---|",
    ]
    for row in summary["clean"]:
        warnings = ", ".join(f"{code} {count}" for code, count in row["warnings"].items())
        lines.append(
            f"| {row['case']} | {row['runs']} | {row['with_errors']} "
            f"| {row['with_warnings']}{f' ({warnings})' if warnings else ''} |"
        )
    return "\n".join(lines) + "\n"


def verdict(summary):
    strong = [row for row in summary["causes"] if row["strong"]]
    reached = [row for row in strong if row["strong_found"] >= LEAST_FOUND * row["strong"]]
    problems = []
    below = [f"{row['cause']}: found in {share(row['strong_found'], row['strong'])}" for row in strong if row not in reached]
    alarms = sum(row["with_errors"] for row in summary["clean"])
    runs = sum(row["runs"] for row in summary["clean"])
    print(f"{len(reached)} of {len(strong)} causes found in at least {100 * LEAST_FOUND:.0f} %")
    print(f"{alarms} of {runs} clean runs have an error")
    if len(reached) < LEAST_CAUSES:
        problems.append(f"expected at least {LEAST_CAUSES} causes")
    if alarms:
        problems.append("expected no error on a clean run")
    print("\n".join(below + problems))
    return 1 if problems else 0


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--tune", action="store_true", help="the pictures that rules are tuned on")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        write_pictures(pictures, TUNE if args.tune else TEST)
        write_clean(pictures, 0 if args.tune else 1)
        matrix = run(pictures, Path(folder) / "matrix.json")
    summary = summarised(matrix)
    if args.tune:
        for row in matrix["planted"]:
            if row["strong"] and not row["found"]:
                print("missed:", row["cause"], row["model"], row["picture"], row["codes"])
        for row in matrix["clean"]:
            if row["errors"] or row["warnings"]:
                print("clean:", row["case"], row["picture"], row["errors"], row["warnings"])
    else:
        (ROOT / "tests/calibration.json").write_text(json.dumps(summary, indent=1) + "\n")
        (ROOT / "tests/calibration.md").write_text(markdown(summary))
    sys.exit(verdict(summary))


if __name__ == "__main__":
    main()
