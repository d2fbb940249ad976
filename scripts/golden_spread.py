"""How far the gist's functions land from themselves on other kernels: variants, runs and rows.

Each variant runs in a process of its own, since torch reads its settings once, and every step starts
from the default run's tensors, as cases are judged.
"""

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import golden_gist
from golden_cases import CASES
from golden_faults import FAULTS
from golden_recipe import GOLDEN, repository

RELATIVE = 1e-5  # the part of a difference that counts as relative, before the margin
CASE_BY_NAME = {case.name: case for case in CASES}
MEASURED = [case for case in CASES if case.device == "cpu"]


@dataclass
class Variant:
    """A way to run the same functions."""

    name: str
    threads: int = 2
    onednn: bool = True
    environment: dict = field(default_factory=dict)
    fault: str = ""
    only: tuple = ()

    @property
    def cases(self):
        if self.fault:
            return [CASE_BY_NAME[name] for name in FAULTS[self.fault].cases]
        return [case for case in MEASURED if not self.only or case.name in self.only]


SWEEP = [
    Variant("1 thread", threads=1),
    Variant("ATEN_CPU_CAPABILITY=default", environment={"ATEN_CPU_CAPABILITY": "default"}),
    Variant("ATEN_CPU_CAPABILITY=avx2", environment={"ATEN_CPU_CAPABILITY": "avx2"}),
    Variant("ONEDNN_MAX_CPU_ISA=SSE41", environment={"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    Variant("ONEDNN_MAX_CPU_ISA=AVX", environment={"ONEDNN_MAX_CPU_ISA": "AVX"}),
    Variant("ONEDNN_MAX_CPU_ISA=AVX2", environment={"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    Variant("without oneDNN", onednn=False),
    Variant("without oneDNN, ATEN_CPU_CAPABILITY=default, 1 thread", 1, False, {"ATEN_CPU_CAPABILITY": "default"}),
]
NO_CHANGE_ON_AVX2 = [{"ATEN_CPU_CAPABILITY": "avx2"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}]


def sweep_here():
    """The variants that change something on this machine."""
    avx2 = torch.backends.cpu.get_cpu_capability() == "AVX2"
    return [variant for variant in SWEEP if not (avx2 and variant.environment in NO_CHANGE_ON_AVX2)]


def work(variant, gist_path, models, start, out):
    """Runs a variant's cases in this process."""
    torch.set_num_threads(variant.threads)
    torch.backends.mkldnn.enabled = variant.onednn
    gist = golden_gist.load_gist(gist_path)
    before = pickle.loads(Path(start).read_bytes()) if start else {}
    runs, loaded = {}, None
    for case in variant.cases:
        if (case.model, case.dtype) != loaded:
            vae = None  # or two full models are in memory
            loaded = (case.model, case.dtype)
            vae = golden_gist.load_vae(gist, repository(GOLDEN / "models" / case.model, models), case.dtype)
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
    subprocess.run([sys.executable, __file__, request], env=environment, check=True)
    return pickle.loads(out.read_bytes()), out


def pairs(expected, actual):
    """(tensor, expected, actual) as flat f64 arrays; a trace's samples in units of the entry's std."""
    for name in ("sample", "noise", "moments", "latents", "decoded"):
        if getattr(expected, name) is not None:
            yield name, flat(getattr(expected, name)), flat(getattr(actual, name))
    if expected.picture:
        yield "decoded_rgb8", flat(np.array(expected.picture)), flat(np.array(actual.picture))
    for stage in expected.trace:
        for one, other in zip(expected.trace[stage], actual.trace[stage]):
            yield f"trace {one['module']}", flat(one["samples"]) / one["std"], flat(other["samples"]) / one["std"]


def flat(values):
    return np.asarray(values, np.float64).reshape(-1)


@dataclass
class Spread:
    """The worst that a tensor did in the sweep."""

    excess: float = 0.0  # largest |difference| - RELATIVE * |expected|
    max_abs: float = 0.0
    share: float = 0.0  # largest share of values that differ at all, in one run
    variant: str = ""

    def take(self, expected, actual, variant):
        gap = np.abs(actual - expected)
        self.share = max(self.share, (gap > 0).mean())
        if gap.max() > self.max_abs:
            self.max_abs, self.variant = gap.max(), variant
        self.excess = max(self.excess, (gap - RELATIVE * np.abs(expected)).max())


def sweep(gist_path, temporary, only=()):
    """The default runs, their file, and {(case, tensor): Spread} over all variants."""
    default, start = spawn(Variant("default", only=only), gist_path, temporary)
    spreads = {}
    for variant in sweep_here():
        variant.only = only
        runs, _ = spawn(variant, gist_path, temporary, start)
        for name, run in runs.items():
            for tensor, expected, actual in pairs(default[name], run):
                spreads.setdefault((name, tensor), Spread()).take(expected, actual, variant.name)
    return default, start, spreads


if __name__ == "__main__":
    variant, *rest = json.loads(sys.argv[1])
    work(Variant(**variant), *rest)
