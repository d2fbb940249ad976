"""How far the gist's functions land from themselves on other kernels: variants, runs and rows.

Each variant runs in a process of its own, since torch reads its settings once, and every step starts
from the goldens, as cases are judged: so runs on any machine add up to one table.
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

from vae_fidelity_tools.checkout import IMAGES, program
from vae_fidelity_tools.goldens import reference_script
from vae_fidelity_tools.goldens.cases import CASES
from vae_fidelity_tools.goldens.faults import FAULTS
from vae_fidelity_tools.goldens.store import UNIT, read_tensor, sampled, tensors_of
from vae_fidelity_tools.goldens.tolerances import CASE_BY_NAME, RELATIVE, Spread, short

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
    needs: str = ""  # a processor's flag, without which it changes nothing

    @property
    def cases(self):
        if self.fault:
            return [CASE_BY_NAME[name] for name in FAULTS[self.fault].cases]
        return [case for case in MEASURED if not self.only or case.name in self.only]


# What a processor without AVX-512 runs: it gives the goldens' bits on one that has it, for all tensors but one.
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
SWEEP = [
    Variant("as it is"),
    Variant("1 thread", threads=1),
    Variant("ATEN_CPU_CAPABILITY=default", environment={"ATEN_CPU_CAPABILITY": "default"}),
    Variant("ATEN_CPU_CAPABILITY=avx2", environment={"ATEN_CPU_CAPABILITY": "avx2"}, needs="avx512f"),
    Variant("ONEDNN_MAX_CPU_ISA=SSE41", environment={"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    Variant("ONEDNN_MAX_CPU_ISA=AVX", environment={"ONEDNN_MAX_CPU_ISA": "AVX"}),
    Variant("ONEDNN_MAX_CPU_ISA=AVX2", environment={"ONEDNN_MAX_CPU_ISA": "AVX2"}, needs="avx512f"),
    Variant("ONEDNN_MAX_CPU_ISA=AVX512_CORE", environment={"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, needs="avx512_bf16"),
    Variant("ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16", environment={"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, needs="avx512_fp16"),
    Variant("ONEDNN_MAX_CPU_ISA=AVX512_CORE_FP16", environment={"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_FP16"}, needs="amx_bf16"),
    Variant("without oneDNN", onednn=False),
    Variant("without oneDNN, ATEN_CPU_CAPABILITY=default, 1 thread", 1, False, {"ATEN_CPU_CAPABILITY": "default"}),
    Variant("AVX2 throughout", environment=AVX2, needs="avx512f"),
    Variant("AVX2 throughout, 1 thread", threads=1, environment=AVX2, needs="avx512f"),
    Variant("AVX2 throughout, ATEN_CPU_CAPABILITY=default", environment={**AVX2, "ATEN_CPU_CAPABILITY": "default"},
            needs="avx512f"),
    Variant("AVX2 throughout, without oneDNN, ATEN_CPU_CAPABILITY=default, 1 thread", 1, False,
            {**AVX2, "ATEN_CPU_CAPABILITY": "default"}, needs="avx512f"),
]  # fmt: skip


def cpuinfo(field):
    """A line of /proc/cpuinfo, or ""."""
    if not Path("/proc/cpuinfo").is_file():
        return ""
    lines = (line.split(":", 1) for line in open("/proc/cpuinfo") if ":" in line)
    return next((value.strip() for key, value in lines if key.strip() == field), "")


def sweep_here():
    """The variants that change something on this machine."""
    flags = cpuinfo("flags").split()
    return [variant for variant in SWEEP if not variant.needs or variant.needs in flags]


def machine():
    """Names what the kernels depend on."""
    flags = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in cpuinfo("flags").split()]
    return ", ".join([cpuinfo("model name") or "unknown", torch.backends.cpu.get_cpu_capability(), *flags])


def goldens(cases):
    """The stored tensors of each case, and what its steps start from, as a Run."""
    manifests = {case.golden: json.loads((case.golden / "manifest.json").read_text()) for case in cases}
    rows = {row["name"]: row for manifest in manifests.values() for row in manifest["cases"]}
    stored, start = {}, {}
    for case in cases:
        folder, tensors = case.golden / "cases" / case.name, rows[case.name]["tensors"]
        stored[case.name] = {name: (row["stored"], read_tensor(folder, name, row)) for name, row in tensors.items()}
        if case.trace:
            stored[case.name]["trace"] = json.loads((folder / "trace.json").read_text())
        (kept, latents), (_, noise) = stored[case.name]["latents"], stored[case.name].get("noise", (None, None))
        assert kept == "full", f"{case.name}: decoding starts from whole latents"
        start[case.name] = reference_script.Run(None, None, latents, None, None, noise)
    return stored, start


def work(variant, gist_path, temporary, start, out):
    """Runs a variant's cases in this process."""
    torch.set_num_threads(variant.threads)
    torch.backends.mkldnn.enabled = variant.onednn
    gist = reference_script.load_gist(gist_path)
    start = pickle.loads(Path(start).read_bytes())
    plant = FAULTS[variant.fault].plant if variant.fault else lambda vae: None
    models = reference_script.Models(gist, temporary, plant)
    runs = {}
    for case in variant.cases:
        runs[case.name] = reference_script.judged(gist, models.of(case), IMAGES, case, start[case.name])
    Path(out).write_bytes(pickle.dumps(runs))


def spawn(variant, gist_path, temporary, start):
    """Runs a variant in a process of its own, each step from `start`; returns its runs by case name."""
    given, out = Path(temporary) / "start", Path(temporary) / "runs"
    given.write_bytes(pickle.dumps(start))
    request = json.dumps([vars(variant), str(gist_path), str(temporary), str(given), str(out)])
    environment = {**os.environ, "OMP_NUM_THREADS": str(variant.threads), **variant.environment}
    print(f"{variant.name} ...", file=sys.stderr, flush=True)
    subprocess.run([*program("goldens.spread"), request], env=environment, check=True)
    return pickle.loads(out.read_bytes())


def pairs(golden, actual):
    """(tensor, expected, actual) as flat f64 arrays of the stored values; a trace's samples in units of the entry's std."""
    for name, tensor in tensors_of(actual).items():
        kept, expected = golden[name]
        yield name, flat(expected), flat(tensor if kept == "full" else sampled(tensor))
    for stage in ("encode", "decode") if "trace" in golden else ():
        for one, other in zip(golden["trace"][stage], actual.trace[stage], strict=True):
            yield f"trace {one['module']}", flat(one["samples"]) / one["std"], flat(other["samples"]) / one["std"]


def flat(values):
    return np.asarray(values, np.float64).reshape(-1)


def take(spread, expected, actual, dtype, variant):
    """The worse of `spread` and this run."""
    gap = np.abs(actual - expected)
    if not np.isfinite(gap).all():
        sys.exit(f"{variant}: NaN or infinity")
    excess = max(0.0, (gap - RELATIVE[dtype] * np.abs(expected)).max())
    return spread.join(Spread(float(excess), float(gap.max()), float((gap > 0).mean()), variant if gap.any() else ""))


def sweep(gist_path, temporary, only=()):
    """{(case, tensor): Spread} over all variants: how far each lands from the goldens."""
    cases = [case for case in MEASURED if not only or case.name in only]
    stored, start = goldens(cases)
    spreads, here = {}, machine()
    for variant in sweep_here():
        variant.only = only
        for name, run in spawn(variant, gist_path, temporary, start).items():
            for tensor, expected, actual in pairs(stored[name], run):
                before = spreads.get((name, tensor), Spread())
                spreads[name, tensor] = take(before, expected, actual, CASE_BY_NAME[name].dtype, f"{variant.name} ({here})")
    return spreads


def sizes():
    """[case, tensor, standard deviation] of the goldens in 16 bits, whose sums are of that size."""
    stored, _ = goldens([case for case in MEASURED if case.dtype in UNIT])
    return [
        [case, tensor, short(float(flat(kept[tensor][1]).std()))]
        for case, kept in stored.items()
        for tensor in ("moments", "latents", "noise", "decoded")
        if tensor in kept
    ]


if __name__ == "__main__":
    variant, *rest = json.loads(sys.argv[1])
    work(Variant(**variant), *rest)
