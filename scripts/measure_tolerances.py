"""Measures how far the same gist lands on other kernels, and derives golden/tolerances.json.

    scripts/python.sh scripts/measure_tolerances.py --gist debug_diffusion_vae.py

Runs the golden cases with other thread counts, other instruction sets and without oneDNN
(golden_spread.py). golden/spread.json keeps the worst of each case, tensor and layer; a tolerance is
the largest excess of its rows, times a margin, and names the row. Then it plants faults: the table at
the end of tolerances.json says how many times the tolerance each one lands away. Half an hour on two
idle cores; run by hand.

    scripts/python.sh scripts/measure_tolerances.py --gist debug_diffusion_vae.py --only CASE... [--write]

measures these cases alone and says how much of the present tolerances they use; with `--write` they
take the place of their rows, and tolerances are derived anew. `--fast-engine BINARY` adds how far the
fast engine of that vae-fidelity lands, which tolerances are not derived from.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from golden_cases import CASES
from golden_faults import FAULTS
from golden_recipe import GOLDEN, repository
from golden_spread import CASE_BY_NAME, MEASURED, RELATIVE, Spread, Variant, pairs, spawn, sweep, sweep_here
from golden_store import tolerance

# Other machines than these variants. Halves round to the same few bits everywhere, and what is left to
# chance is which way.
MARGINS = {"f32": 8, "f16": 3, "bf16": 3}
# Tensors whose values, or sums, are far larger than other models'; they get rows of their own.
# Models of one graph share them.
GRAPHS = [
    (("extreme-logvar",), ("moments", "latents")),
    (("sd-v1-4", "sd-v2-1", "sdxl", "playground-v2.5"), ("moments", "latents", "decoded", "trace")),
    (("sd3", "flux1"), ("moments", "latents", "decoded", "trace")),
    (("cogview4",), ("moments", "latents", "decoded", "trace")),
    (("x4-upscaler",), ("moments", "latents", "decoded", "trace")),
]
SPREAD, TOLERANCES = GOLDEN / "spread.json", GOLDEN / "tolerances.json"
TENSORS = ("sample", "moments", "latents", "decoded", "decoded_rgb8", "trace", "noise")


def read_table():
    return json.loads(SPREAD.read_text()) if SPREAD.is_file() else {"rows": []}


def short(value):
    return float(f"{value:.3g}")


def read_spread():
    """{(case, tensor): Spread} of the table."""
    table = read_table()
    names = table.get("variants", [])
    return {
        (case, tensor): Spread(excess, max_abs, share, names[variant] if variant is not None else "")
        for case, tensor, max_abs, excess, share, variant in table["rows"]
    }


def write_spread(spreads, fast_engine):
    """A line for each case and tensor, in the order of the cases; then the fast engine's."""
    names = [variant.name for variant in sweep_here()]
    names += sorted({spread.variant for spread in spreads.values()} - {*names, ""})
    order = {case.name: number for number, case in enumerate(CASES)}
    rows = [
        [case, tensor, short(s.max_abs), short(s.excess), short(s.share), names.index(s.variant) if s.variant else None]
        for (case, tensor), s in sorted(spreads.items(), key=lambda item: order[item[0][0]])
        if case in order
    ]
    SPREAD.write_text(
        f'{{\n "schema_version": 1,\n "relative": {RELATIVE},\n "variants": {json.dumps(names)},\n'
        ' "columns": ["case", "tensor or layer", "max_abs", "excess", "share", "variant"],\n "rows": [\n  '
        + ",\n  ".join(map(json.dumps, rows))
        + '\n ],\n "fast_engine_columns": ["case", "tensor or layer", "max_abs", "share"],\n "fast_engine": [\n  '
        + ",\n  ".join(map(json.dumps, fast_engine)) + "\n ]\n}\n"
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
    golden = GOLDEN / "cases" / case.name / "trace.json"
    how = ["--repo", repository(GOLDEN / "models" / case.model, folder), "--against", golden, "--device", "cpu"]
    if case.size:
        how += ["--width", case.width, "--height", case.height]
    traced = printed(binary, "trace", GOLDEN / "images" / case.image, *how, "--engine", "fast")
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


def round_up(value):
    """To two digits, so that the file does not change with every last bit."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / step) * step:.1e}")


def derive(spreads):
    """A row for each dtype and tensor, and for models of their own, with the row it comes from."""
    groups = {}
    for (case, layer), spread in spreads.items():
        tensor = layer.split(" ")[0]  # a trace's row is all of its layers
        model, dtype = CASE_BY_NAME[case].model, CASE_BY_NAME[case].dtype
        own = (models for models, tensors in GRAPHS if model in models and tensor in tensors and dtype == "f32")
        groups.setdefault((dtype, tensor, next(own, ())), []).append((case, layer, spread))
    keys = sorted(groups, key=lambda key: (key[0] != "f32", key[0], key[2], TENSORS.index(key[1])))
    rows = [
        row(dtype, tensor, model, groups[dtype, tensor, models])
        for dtype, tensor, models in keys
        for model in models or (None,)
    ]
    # No GPU has been measured: f16 rounds alike on all of them, but sums in other orders.
    rows += [
        {**row, "device": "cuda", "measured_on": f"the CPU's row, for want of a GPU: {row['measured_on']}"}
        for row in rows
        if row["dtype"] == "f16" and row["tensor"] not in ("sample", "noise")
    ]
    return rows


def row(dtype, tensor, model, group):
    """From (case, tensor or layer, spread) of all that it covers."""
    fields = {"dtype": dtype, "device": "cpu", "tensor": tensor} | ({"model": model} if model else {})
    share = max(spread.share for *_, spread in group)
    case, layer, worst = max(group, key=lambda one: one[2].share if tensor == "decoded_rgb8" else one[2].excess)
    if tensor == "decoded_rgb8":
        # A value next to .5 falls either way; the share is what kernels can move.
        levels = max(1.0, max(spread.max_abs for *_, spread in group))
        fields |= {"atol": levels, "rtol": 0.0, "share": min(1.0, round_up(max(share, 1e-3) * MARGINS[dtype]))}
    else:
        rtol = MARGINS[dtype] * RELATIVE if worst.max_abs else 0.0
        fields |= {"atol": round_up(worst.excess * MARGINS[dtype]), "rtol": short(rtol)}
    where = f"{case}, {worst.variant}" if worst.variant else "no difference in any run"
    measured_row = f"{case} / {layer}" if worst.variant else None
    return fields | {"measured_max_abs": short(worst.max_abs), "measured_on": where, "measured_row": measured_row}


def beyond(rows, tensor, case, expected, actual):
    """How many times the tolerance the worst value is away."""
    used = tolerance({"rows": rows}, tensor.split(" ")[0], case.model, case.dtype)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(actual - expected) / (used["atol"] + used["rtol"] * np.abs(expected))
    return float(np.nanmax(ratio))


def faults(rows, default, start, gist_path, temporary):
    """For each planted fault and case: the tensor that shows it most, in multiples of its tolerance."""
    found = []
    for name in FAULTS:
        runs, _ = spawn(Variant(name, fault=name), gist_path, temporary, start)
        for case, run in runs.items():
            judged = [
                (beyond(rows, tensor, CASE_BY_NAME[case], expected, actual), tensor, np.abs(actual - expected).max())
                for tensor, expected, actual in pairs(default[case], run)
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
        except ValueError:
            continue  # a dtype that has no rows yet
        if tensor == "decoded_rgb8":
            ratio = spread.share / row["share"]
        else:
            ratio = spread.excess / row["atol"] if row["atol"] else float(spread.max_abs > 0)
        key = (case.dtype, tensor.split(" ")[0])
        most[key] = max(most.get(key, (0, "")), (float(ratio), f"{name}, {spread.variant}"))
    for (dtype, tensor), (ratio, where) in sorted(most.items()):
        print(f"{dtype:5}{tensor:13} uses {ratio:.2%} of its tolerance at most: {where}")
    return max((ratio for ratio, _ in most.values()), default=0)


def write(rows, planted):
    lines = [f' "schema_version": 1,\n "margin": {MARGINS["f32"]},\n "margins": {json.dumps(MARGINS)},\n "measurements": "spread.json"']
    for key, entries in (("rows", rows), ("faults", planted)):
        lines.append(f' "{key}": [\n  ' + ",\n  ".join(map(json.dumps, entries)) + "\n ]")
    TOLERANCES.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gist", required=True, help="path of the unmodified gist, debug_diffusion_vae.py")
    parser.add_argument("--only", nargs="+", metavar="CASE", default=(), help="measure these, say what they use")
    parser.add_argument("--write", action="store_true", help="with --only: put their rows into the table")
    parser.add_argument("--faults", action="store_true", help="measure nothing, but plant the faults")
    parser.add_argument("--fast-engine", metavar="BINARY", help="measure this vae-fidelity's fast engine, and nothing else")
    args = parser.parse_args()
    if args.fast_engine:
        with tempfile.TemporaryDirectory() as folder:
            return write_spread(read_spread(), fast_engine(args.fast_engine, Path(folder)))
    if unknown := set(args.only) - {case.name for case in MEASURED}:
        parser.error(f"no case on the CPU is named {', '.join(sorted(unknown))}")
    before = json.loads(TOLERANCES.read_text())
    with tempfile.TemporaryDirectory() as temporary:
        if args.faults:
            only = tuple(name for fault in FAULTS.values() for name in fault.cases)
            default, start = spawn(Variant("default", only=only), args.gist, temporary)
            rows, planted = before["rows"], None
        else:
            default, start, spreads = sweep(args.gist, temporary, tuple(args.only))
            most = used(spreads, before["rows"])
            if args.only and not args.write:
                sys.exit(most > 1)
            if args.only:
                spreads = {key: spread for key, spread in read_spread().items() if key[0] not in args.only} | spreads
            write_spread(spreads, read_table().get("fast_engine", []))
            # From the table, so that it says what tolerances come from to the last digit.
            rows, planted = derive(read_spread()), before["faults"] if args.only else None
        if planted is None:
            planted = faults(rows, default, start, args.gist, temporary)
    write(rows, planted)
    for entry in planted:
        print(f"{entry['fault']:40} {entry['case']:24} {entry['tensor']:8} {entry['times_tolerance']:g} x the tolerance")
    if any(entry["times_tolerance"] < 2 for entry in planted):
        sys.exit("a planted fault is within twice the tolerance: the cases do not separate it")


if __name__ == "__main__":
    main()
