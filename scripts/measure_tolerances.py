"""Measures how far the same gist lands on other kernels, and writes golden/tolerances.json.

    scripts/python.sh scripts/measure_tolerances.py --gist debug_diffusion_vae.py

Runs the golden cases with other thread counts, other instruction sets and without oneDNN, each in a
process of its own, every step from the default run's tensors, as cases are judged. A tolerance is
the largest excess found, times a margin. Then it plants faults: the table at the end says how many
times the tolerance each one lands away. Ten minutes; run by hand.

    scripts/python.sh scripts/measure_tolerances.py --gist debug_diffusion_vae.py --only CASE...

measures these cases alone and writes nothing: it says how much of the present tolerances they use.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

import golden_gist
from golden_cases import CASES
from golden_faults import FAULTS
from golden_recipe import GOLDEN, repository
from golden_store import tolerance

MARGIN = 8
RELATIVE = 1e-5  # the part of a difference that counts as relative, before the margin
CASE_BY_NAME = {case.name: case for case in CASES}
# Slow, so run in the variants that ask for it.
LARGE = ("sd-v1-4-512", "builtin-demo", "builtin-coffee")
# Tensors whose values, or sums, are far larger than other models'; they get rows of their own.
OWN_ROWS = {
    "extreme-logvar": ("moments", "latents"),
    "sd-v1-4": ("moments", "latents", "decoded", "trace"),
}


@dataclass
class Variant:
    """A way to run the same functions."""

    name: str
    threads: int = 2
    onednn: bool = True
    environment: dict = field(default_factory=dict)
    large: bool = False
    fault: str = ""
    only: tuple = ()

    @property
    def cases(self):
        if self.fault:
            return [CASE_BY_NAME[name] for name in FAULTS[self.fault].cases]
        if self.only:
            return [case for case in CASES if case.name in self.only]
        return [case for case in CASES if self.large or case.name not in LARGE]


DEFAULT = Variant("default", large=True)
SWEEP = [
    Variant("1 thread", threads=1),
    Variant("ATEN_CPU_CAPABILITY=default", environment={"ATEN_CPU_CAPABILITY": "default"}),
    Variant("ATEN_CPU_CAPABILITY=avx2", environment={"ATEN_CPU_CAPABILITY": "avx2"}),
    Variant("ONEDNN_MAX_CPU_ISA=SSE41", environment={"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    Variant("ONEDNN_MAX_CPU_ISA=AVX", environment={"ONEDNN_MAX_CPU_ISA": "AVX"}),
    Variant("ONEDNN_MAX_CPU_ISA=AVX2", environment={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Variant("without oneDNN", onednn=False, large=True),
    Variant("without oneDNN, ATEN_CPU_CAPABILITY=default, 1 thread", 1, False, {"ATEN_CPU_CAPABILITY": "default"}),
]

NO_CHANGE_ON_AVX2 = [{"ATEN_CPU_CAPABILITY": "avx2"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}]


def work(variant, gist_path, models, start, out):
    """Runs a variant's cases; in a process of its own, since torch reads its settings once."""
    torch.set_num_threads(variant.threads)
    torch.backends.mkldnn.enabled = variant.onednn
    gist = golden_gist.load_gist(gist_path)
    before = pickle.loads(Path(start).read_bytes()) if start else {}
    runs, model = {}, None
    for case in variant.cases:
        if case.model != model:
            model, vae = case.model, golden_gist.load_vae(gist, repository(GOLDEN / "models" / case.model, models))
            if variant.fault:
                FAULTS[variant.fault].plant(vae)
        runs[case.name] = golden_gist.run(gist, vae, GOLDEN / "images", case, before.get(case.name))
    Path(out).write_bytes(pickle.dumps(runs))


def spawn(variant, gist_path, temporary, start=None):
    """Runs a variant in a process of its own; returns its runs by case name, and their file."""
    out = Path(temporary) / f"{variant.name}.runs".replace(" ", "-").replace("/", "")
    request = json.dumps([vars(variant), str(gist_path), str(temporary), str(start or ""), str(out)])
    environment = {**os.environ, "OMP_NUM_THREADS": str(variant.threads), **variant.environment}
    print(f"{variant.name} ...", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, __file__, "--worker", request], env=environment, check=True)
    return pickle.loads(out.read_bytes()), out


def pairs(expected, actual):
    """(tensor, expected, actual) as flat f64 arrays; a trace's samples in units of the entry's std."""
    for name in ("sample", "noise", "moments", "latents", "decoded"):
        if getattr(expected, name) is not None:
            yield name, flat(getattr(expected, name)), flat(getattr(actual, name))
    yield "decoded_rgb8", flat(np.array(expected.picture)), flat(np.array(actual.picture))
    for stage in expected.trace:
        for one, other in zip(expected.trace[stage], actual.trace[stage]):
            yield "trace", flat(one["samples"]) / one["std"], flat(other["samples"]) / one["std"]


def flat(values):
    return np.asarray(values, np.float64).reshape(-1)


@dataclass
class Spread:
    """The worst that a tensor did in the sweep."""

    excess: float = 0.0  # largest |difference| - RELATIVE * |expected|
    max_abs: float = 0.0
    share: float = 0.0  # largest share of values that differ at all, in one run
    where: str = "no difference in any run"

    def take(self, expected, actual, where):
        gap = np.abs(actual - expected)
        self.excess = max(self.excess, (gap - RELATIVE * np.abs(expected)).max())
        self.share = max(self.share, (gap > 0).mean())
        if gap.max() > self.max_abs:
            self.max_abs, self.where = gap.max(), where


def sweep(gist_path, temporary):
    """The default runs, their file, and {(tensor, model or None): Spread}."""
    default, start = spawn(DEFAULT, gist_path, temporary)
    spreads = {}
    for variant in SWEEP:
        if variant.environment in NO_CHANGE_ON_AVX2 and torch.backends.cpu.get_cpu_capability() == "AVX2":
            continue
        runs, _ = spawn(variant, gist_path, temporary, start)
        worst = {}
        for name, run in runs.items():
            model = CASE_BY_NAME[name].model
            for tensor, expected, actual in pairs(default[name], run):
                key = (tensor, model if tensor in OWN_ROWS.get(model, ()) else None)
                spreads.setdefault(key, Spread()).take(expected, actual, f"{name}, {variant.name}")
                worst.setdefault(tensor, Spread()).take(expected, actual, name)
        for tensor, spread in worst.items():
            print(f"  {tensor:13} max |diff| {spread.max_abs:9.3g}  share {spread.share:7.2%}  {spread.where}")
    return default, start, spreads


def round_up(value):
    """To two digits, so that the file does not change with every last bit."""
    if value <= 0:
        return 0.0
    step = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / step) * step:.1e}")


def row(tensor, model, spread):
    fields = {"dtype": "f32", "device": "cpu", "tensor": tensor}
    if model:
        fields["model"] = model
    if tensor == "decoded_rgb8":
        # A value next to .5 falls either way; the share is what kernels can move.
        fields |= {"atol": 1.0, "rtol": 0.0, "share": round_up(max(spread.share, 1e-3) * MARGIN)}
    else:
        fields |= {"atol": round_up(spread.excess * MARGIN), "rtol": MARGIN * RELATIVE if spread.max_abs else 0.0}
    return fields | {"measured_max_abs": float(f"{spread.max_abs:.3g}"), "measured_on": spread.where}


def beyond(rows, tensor, model, expected, actual):
    """How many times the tolerance the worst value is away."""
    used = tolerance({"rows": rows}, tensor, model)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(actual - expected) / (used["atol"] + used["rtol"] * np.abs(expected))
    return float(np.nanmax(ratio))


def faults(rows, default, start, gist_path, temporary):
    """For each planted fault and case: the tensor that shows it most, in multiples of its tolerance."""
    found = []
    for name in FAULTS:
        runs, _ = spawn(Variant(name, fault=name), gist_path, temporary, start)
        for case, run in runs.items():
            model = CASE_BY_NAME[case].model
            judged = [
                (beyond(rows, tensor, model, expected, actual), tensor, np.abs(actual - expected).max())
                for tensor, expected, actual in pairs(default[case], run)
                if tensor in ("moments", "latents", "decoded")
            ]
            times, tensor, max_abs = max(judged)
            found.append({"fault": name, "case": case, "tensor": tensor, "max_abs": float(f"{max_abs:.3g}"),
                          "times_tolerance": float(f"{times:.3g}")})  # fmt: skip
    return found


def used(gist_path, names):
    """How much of the present tolerances these cases use, in every variant of the sweep."""
    present = json.loads((GOLDEN / "tolerances.json").read_text())["rows"]
    most = {}
    with tempfile.TemporaryDirectory() as temporary:
        default, start = spawn(replace(DEFAULT, only=names), gist_path, temporary)
        for variant in SWEEP:
            runs, _ = spawn(replace(variant, only=names), gist_path, temporary, start)
            for name, run in runs.items():
                for tensor, expected, actual in pairs(default[name], run):
                    if np.array_equal(expected, actual):
                        continue
                    if tensor == "decoded_rgb8":
                        row = tolerance({"rows": present}, tensor, CASE_BY_NAME[name].model)
                        ratio = (expected != actual).mean() / row["share"]
                    else:
                        ratio = beyond(present, tensor, CASE_BY_NAME[name].model, expected, actual)
                    most[tensor] = max(most.get(tensor, (0, "")), (float(ratio), f"{name}, {variant.name}"))
    for tensor, (ratio, where) in sorted(most.items()):
        print(f"{tensor:13} uses {ratio:.2%} of its tolerance at most: {where}")
    return most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gist", help="path of the unmodified gist, debug_diffusion_vae.py")
    parser.add_argument("--only", nargs="+", metavar="CASE", help="measure these, say what they use, write nothing")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        variant, *rest = json.loads(args.worker)
        return work(Variant(**variant), *rest)
    if not args.gist:
        parser.error("--gist is needed")
    if args.only:
        unknown = set(args.only) - set(CASE_BY_NAME)
        if unknown:
            parser.error(f"no case is named {', '.join(sorted(unknown))}")
        sys.exit(any(ratio > 1 for ratio, _ in used(args.gist, tuple(args.only)).values()))
    with tempfile.TemporaryDirectory() as temporary:
        default, start, spreads = sweep(args.gist, temporary)
        rows = [row(tensor, model, spread) for (tensor, model), spread in spreads.items()]
        planted = faults(rows, default, start, args.gist, temporary)
    lines = [f' "schema_version": 1,\n "margin": {MARGIN}']
    for key, entries in (("rows", rows), ("faults", planted)):
        lines.append(f' "{key}": [\n  ' + ",\n  ".join(map(json.dumps, entries)) + "\n ]")
    (GOLDEN / "tolerances.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    for entry in planted:
        print(f"{entry['fault']:40} {entry['case']:24} {entry['tensor']:8} {entry['times_tolerance']:g} x the tolerance")
    if any(entry["times_tolerance"] < 2 for entry in planted):
        sys.exit("a planted fault is within twice the tolerance: the cases do not separate it")


if __name__ == "__main__":
    main()
