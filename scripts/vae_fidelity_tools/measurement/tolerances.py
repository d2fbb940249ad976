"""Measures how far the same gist lands on other kernels, and derives golden/tolerances.json.

    scripts/python.sh -m vae_fidelity_tools.measurement.tolerances --gist debug_diffusion_vae.py

Runs the golden cases with other thread counts, other instruction sets and without oneDNN
(goldens/spread.py). golden/spread.json keeps the worst of each case, tensor and layer over all machines
that it was measured on; a tolerance is the largest excess of its rows, times a margin, and names the
row (goldens/tolerances.py). Then it plants faults: the table at the end of tolerances.json says how many
times the tolerance each one lands away. Half an hour on two idle cores; run by hand.

    scripts/python.sh -m vae_fidelity_tools.measurement.tolerances --gist debug_diffusion_vae.py --only CASE... [--write]

measures these cases alone ('*-bf16-*' and the like work) and says how much of the present tolerances
they use; with `--write` the table keeps the worse of what it has and what was measured, and tolerances
are derived anew. `--anew` forgets what it has of these cases, for when goldens change. `--derive`
measures nothing. `--cuda F.json` takes in what a GPU did (scripts/cuda/spread.py). `--fast-engine BINARY`
adds how far the fast engine of that vae-fidelity lands, which tolerances are not derived from.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import IMAGES
from vae_fidelity_tools.goldens.faults import FAULTS
from vae_fidelity_tools.goldens.recipe import repository
from vae_fidelity_tools.goldens.spread import MEASURED, Variant, goldens, pairs, sizes, spawn, sweep
from vae_fidelity_tools.goldens.store import BelowOneStep, tolerance
from vae_fidelity_tools.goldens.tolerances import (
    CASE_BY_NAME,
    TOLERANCES,
    derive,
    read_spread,
    read_table,
    short,
    write_spread,
    write_tolerances,
)  # fmt: skip


def fast_engine(binary, folder):
    """What this crate's fast engine is off by. No tolerance comes from it: it is held to them."""
    rows = [
        [case["case"], check["tensor"], short(compared["max_abs_diff"]), short(compared["over"][0]["count"] / compared["judged"])]
        for case in printed(binary, "golden", "verify", "--engine", "fast")["cases"]
        for check in case["checks"]
        if check["tensor"] in ("moments", "latents", "decoded", "end_to_end") and (compared := check["comparison"])
    ]
    for case in MEASURED:
        if case.trace and case.dtype == "f32":
            rows += fast_layers(binary, case, folder)
    return rows


def fast_layers(binary, case, folder):
    """Its layers, in units of each one's standard deviation; the decoder starts from its own latents."""
    golden = case.golden / "cases" / case.name / "trace.json"
    how = ["--repo", repository(case.model_folder, folder), "--against", golden, "--device", "cpu"]
    if case.size:
        how += ["--width", case.width, "--height", case.height]
    traced = printed(binary, "trace", IMAGES / case.image, *how, "--engine", "fast")
    layers = [layer for stage in traced["against"]["stages"] for layer in stage["layers"]]
    expected = json.loads(golden.read_text())
    if len(layers) != len(expected["encode"]) + len(expected["decode"]):
        sys.exit(f"{case.name}: {binary} does not name every layer of {golden}")
    return [
        [case.name, f"trace {layer['module']}", short(layer["largest_in_std"]), None]
        for layer in layers
        if layer["largest_in_std"] is not None  # a constant layer has no such unit
    ]


def printed(binary, *arguments):
    """The JSON that a command of this crate prints, whatever it judges."""
    ran = subprocess.run([binary, *map(str, arguments), "--json"], capture_output=True, text=True)
    if not ran.stdout:
        sys.exit(f"{binary} {' '.join(map(str, arguments))}: {ran.stderr}")
    return json.loads(ran.stdout)


def beyond(rows, tensor, case, expected, actual):
    """How many times the tolerance the worst value is away."""
    used = tolerance({"rows": rows}, tensor.split(" ")[0], case.model, case.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(actual - expected) / (used["atol"] + used["rtol"] * np.abs(expected))
    return float(np.nanmax(ratio))


def faults(rows, gist_path, temporary):
    """For each planted fault and case: the tensor that shows it most, in multiples of its tolerance."""
    stored, start = goldens([CASE_BY_NAME[name] for name in {name for fault in FAULTS.values() for name in fault.cases}])
    found = []
    for name in FAULTS:
        for case, run in spawn(Variant(name, fault=name), gist_path, temporary, start).items():
            judged = [
                (beyond(rows, tensor, CASE_BY_NAME[case], expected, actual), tensor, np.abs(actual - expected).max())
                for tensor, expected, actual in pairs(stored[case], run)
                if tensor in ("moments", "latents", "decoded")
            ]
            times, tensor, max_abs = max(judged)
            found.append({"fault": name, "case": case, "tensor": tensor, "max_abs": short(max_abs),
                          "times_tolerance": short(times)})  # fmt: skip
    return found


def used(spreads, rows):
    """Prints, for each tensor, how much of the present tolerances these spreads use; returns the most."""
    most = {}
    for (name, tensor), spread in spreads.items():
        case = CASE_BY_NAME[name]
        try:
            row = tolerance({"rows": rows}, tensor.split(" ")[0], case.model, case.dtype)
        except (ValueError, BelowOneStep):
            continue  # a dtype that has no rows yet, or none that can be used
        if tensor == "decoded_rgb8":
            ratio = spread.share / row["share"]
        else:
            ratio = spread.excess / row["atol"] if row["atol"] else float(spread.max_abs > 0)
        key = (case.dtype, tensor.split(" ")[0])
        most[key] = max(most.get(key, (0, "")), (float(ratio), f"{name}, {spread.variant}"))
    for (dtype, tensor), (ratio, where) in sorted(most.items()):
        print(f"{dtype:5}{tensor:13} uses {ratio:.2%} of its tolerance at most: {where}")
    return max((ratio for ratio, _ in most.values()), default=0)


def main():
    parser = arguments.parser(__doc__)
    arguments.add_gist(parser)
    parser.add_argument("--only", nargs="+", metavar="CASE", default=(), help="measure these, say what they use")
    parser.add_argument("--write", action="store_true", help="with --only: put what was measured into the table")
    parser.add_argument("--anew", action="store_true", help="forget what the table has of the cases measured")
    parser.add_argument("--derive", action="store_true", help="measure nothing; derive tolerances from the table")
    parser.add_argument("--faults", action="store_true", help="measure nothing, but plant the faults")
    parser.add_argument("--fast-engine", metavar="BINARY", help="measure this vae-fidelity's fast engine, and nothing else")
    parser.add_argument("--cuda", metavar="F.json", type=Path, help="take what a bundle's step `spread` measured on a GPU")
    args = parser.parse_args()
    table, before = read_table(), json.loads(TOLERANCES.read_text())
    if args.fast_engine:
        with tempfile.TemporaryDirectory() as folder:
            found = fast_engine(args.fast_engine, Path(folder))
            return write_spread(read_spread(table), table["sizes"], found, table["cuda_machine"], table["cuda"])
    if args.cuda:
        cuda = json.loads(args.cuda.read_text())
        write_spread(read_spread(table), table["sizes"], table["fast_engine"], cuda["machine"], cuda["rows"])
        return write_tolerances(derive(read_table()), before["faults"])
    only = tuple(case.name for case in MEASURED if any(Path(case.name).match(name) for name in args.only))
    if args.only and not only:
        parser.error(f"no case on the CPU is named {' or '.join(args.only)}")
    with tempfile.TemporaryDirectory() as temporary:
        if not (args.faults or args.derive):
            spreads = sweep(args.gist, temporary, only)
            most = used(spreads, before["rows"])
            if only and not args.write:
                sys.exit(most > 1)
            known = {key: spread for key, spread in read_spread(table).items() if not (args.anew and key in spreads)}
            known |= {key: known[key].join(spread) if key in known else spread for key, spread in spreads.items()}
            write_spread(known, sizes(), table["fast_engine"], table["cuda_machine"], table["cuda"])
        # From the table, so that it says what tolerances come from to the last digit.
        rows = derive(read_table())
        planted = before["faults"] if args.derive else faults(rows, args.gist, temporary)
    write_tolerances(rows, planted)
    for entry in planted:
        print(f"{entry['fault']:40} {entry['case']:24} {entry['tensor']:8} {entry['times_tolerance']:g} x the tolerance")
    if any(entry["times_tolerance"] < 2 for entry in planted):
        sys.exit("a planted fault is within twice the tolerance: the cases do not separate it")


if __name__ == "__main__":
    main()
