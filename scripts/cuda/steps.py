"""The steps of a bundle, the most valuable first: what each runs, for how long, and what it is read for."""

import csv
import io
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional

from vae_fidelity_tools.goldens.cases import CASES, FULL_MODELS

BUNDLE = Path(__file__).resolve().parent.parent
BINARY = str(BUNDLE / "bin" / "vae-fidelity")
GOLDEN = BUNDLE / "golden"
IMAGE = str(GOLDEN / "images" / "astronaut.png")
FULL = str(GOLDEN / "models" / "sd-v1-4")
# torch multiplies f32 matrices of convolutions in TF32 unless it is told not to; this tells every library.
NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}


@dataclass
class Step:
    """One process with a limit of its own."""

    name: str
    limit_s: int
    argv: list
    # What its output says, as JSON; raises where it says nothing of use.
    read: Callable
    environment: Optional[dict] = None
    needs_gpu: bool = False
    # Exit codes under which the output counts.
    good: tuple = (0,)
    # A figure, which cannot fail what it judges.
    measures: bool = False
    # Emptied and made before it runs, so that nothing of an earlier run is read.
    folder: Optional[Path] = None


class NotRun(Exception):
    """Raised by a reader: the process ended well, and nothing in it ran."""


def golden_report(done):
    """Counts, and the largest difference of every tensor of every case."""
    report = json.loads(done.stdout)
    largest, failed = {}, []
    for case in report["cases"]:
        for check in case["checks"]:
            difference = (check["comparison"] or {}).get("max_abs_diff")
            if difference:
                largest.setdefault(case["case"], {})[check["tensor"]] = float(f"{difference:.4g}")
            if check["outcome"] == "failed":
                failed.append([case["case"], check["tensor"], check["reason"]])
    return {"passed": report["passed"], **report["summary"], "largest_difference": largest, "failed": failed}


def golden(gpu, name, *flags, limit_s=60, measures=False):
    argv = [BINARY, "golden", "verify", "--json", "--golden", str(GOLDEN), "--device", "cuda" if gpu else "cpu", *flags]
    return Step(name, limit_s, argv, golden_report, needs_gpu=gpu, good=(0, 1), measures=measures)


def small_models():
    """The models that are small enough for minutes: all that have no full graph."""
    return sorted({case.model for case in CASES} - FULL_MODELS)


def only(models):
    return [word for model in models for word in ("--only", model)]


def last_json_line(done):
    return json.loads(done.stdout.strip().splitlines()[-1])


def command(gpu, folder, name, *arguments, limit_s=40):
    device = ["--device", "cuda" if gpu else "cpu"]
    return Step(f"command-{name}", limit_s, [BINARY, *arguments, *device, "--json"], last_json_line, needs_gpu=gpu, good=(0, 1),
                folder=folder)  # fmt: skip


def commands(gpu, out):
    """`--device cuda` of every command that has it."""

    def check(name, *flags, limit_s=40):
        folder = out / f"command-{name}"
        report = ["--report", str(folder / "report.html")] if name == "check-report" else []
        return command(gpu, folder, name, "check", IMAGE, "--out", str(folder / "decoded.png"), *report, *flags, limit_s=limit_s)

    yield check("check")
    yield check("check-sample", "--sample", "--seed", "7")
    yield check("check-tiling", "--tiling", "--tile-size", "64")
    yield check("check-report")
    yield check("check-cross", "--cross-check", limit_s=60)
    yield command(gpu, out / "command-trace", "trace", "trace", IMAGE, "--save-trace", str(out / "command-trace" / "trace"))
    if gpu:
        yield check("check-fast", "--engine", "fast")
        yield check("check-fast-cross", "--engine", "fast", "--cross-check", limit_s=60)
        yield check("check-full-fast", "--engine", "fast", "--repo", FULL, "--cross-check", limit_s=90)


def criterion_medians(out):
    """Medians in ms of every benchmark below a criterion folder."""

    def read(done):
        medians = {}
        for file in sorted((out / "criterion").glob("**/new/estimates.json")):
            name = json.loads((file.parent / "benchmark.json").read_text())["full_id"]
            median = json.loads(file.read_text())["median"]
            interval = median["confidence_interval"]
            medians[name] = {"median_ms": median["point_estimate"] / 1e6, "low_ms": interval["lower_bound"] / 1e6,
                             "high_ms": interval["upper_bound"] / 1e6}  # fmt: skip
        if not medians:
            raise ValueError("criterion wrote no estimates")
        for name, peak_bytes in re.findall(r"^peak_bytes (\S+) (\d+)$", done.stderr, re.MULTILINE):
            medians.setdefault(name, {})["peak_bytes"] = int(peak_bytes)
        return medians

    return read


def bench(gpu, name, pattern, out, limit_s):
    """Each in a criterion folder of its own, so that one that is cut off leaves the others whole."""
    folder = out / name
    argv = [str(BUNDLE / "bin" / "autoencoder_kl"), "--bench", "--noplot", pattern]
    # What was measured when the time was up counts.
    return Step(name, limit_s, argv, criterion_medians(folder), {"CRITERION_HOME": str(folder / "criterion")}, gpu,
                good=(0, None), folder=folder)  # fmt: skip


def libtest_counts(gpu):
    """What did not run is in them; where nothing did, the step has not run, and on a GPU that is a failure."""

    def read(done):
        counts = re.search(r"test result: .*?(\d+) passed; (\d+) failed; (\d+) ignored", done.stdout)
        if not counts:
            raise ValueError("no `test result:` line")
        passed, failed, ignored = map(int, counts.groups())
        if passed + failed == 0:
            raise (ValueError if gpu else NotRun)(f"none of its {ignored} tests ran: they need a GPU")
        return {"passed": passed, "failed": failed, "not_run": ignored}

    return read


def kernel_profile(done):
    """Time by kernel from ncu's CSV, the longest first."""
    lines = done.stdout.splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        raise ValueError("ncu printed no table")
    kernels = {}
    for row in csv.DictReader(io.StringIO("\n".join(lines[start:]))):
        if row.get("Metric Name") != "gpu__time_duration.sum":
            continue
        factor = {"ns": 1e-3, "us": 1.0, "usecond": 1.0, "nsecond": 1e-3, "ms": 1e3, "msecond": 1e3}[row["Metric Unit"]]
        entry = kernels.setdefault(row["Kernel Name"], {"calls": 0, "us": 0.0})
        entry["calls"] += 1
        entry["us"] += float(row["Metric Value"].replace(",", "")) * factor
    rows = sorted(({"kernel": name, **entry} for name, entry in kernels.items()), key=lambda row: -row["us"])
    return {"total_us": sum(row["us"] for row in rows), "kernels": rows[:60]}


def profile(engine, out):
    folder = out / f"profile-{engine}"
    argv = [shutil.which("ncu") or "ncu", "--csv", "--metrics", "gpu__time_duration.sum", "--clock-control", "none",
            BINARY, "check", str(GOLDEN / "images" / "astronaut_512.jpg"), "--repo", FULL, "--device", "cuda",
            "--engine", engine, "--out", str(folder / "decoded.png"), "--quiet"]  # fmt: skip
    return Step(f"profile-{engine}", 90, argv, kernel_profile, needs_gpu=True, good=(0, 1, 2, None), folder=folder)


def python(gpu, name, script, *arguments, limit_s, environment=None, good=(0,)):
    argv = [sys.executable, str(BUNDLE / "steps" / script), *map(str, arguments)]
    return Step(name, limit_s, argv, last_json_line, environment, gpu, good)


def environment_step():
    # PyTorch's first import on a machine takes its time, and without an answer nothing is known of a GPU.
    return python(False, "environment", "environment.py", limit_s=120, good=(0, 1))


def steps(gpu, out):
    """All steps in the order of their worth."""
    yield environment_step()
    models = small_models() if gpu else ["builtin", "sd-small"]
    if gpu:
        yield python(gpu, "spread", "spread.py", "--gist", BUNDLE / "debug_diffusion_vae.py", "--out", out / "spread.json",
                     limit_s=90, environment=NO_TF32)  # fmt: skip
    dtypes = ("f32", "f16", "bf16") if gpu else ("f32",)
    for dtype in dtypes:
        yield verify(gpu, "reference", dtype, models)
    if gpu:
        yield golden(gpu, "golden-reference-f32-tf32", "--dtype", "f32", "--tf32", *only(models), measures=True)
        yield golden(gpu, "golden-fast-f32-tf32", "--engine", "fast", "--dtype", "f32", "--tf32", *only(models), measures=True)
    for dtype in ("f16", "f32", "bf16") if gpu else ("f32", "f16"):
        yield live(gpu, dtype, out)
    if gpu:
        yield live(gpu, "f32", out, NO_TF32)
    yield Step("tests", 60, [str(BUNDLE / "bin" / "cuda"), "--test-threads", "1"], libtest_counts(gpu), good=(0, 101))
    for dtype in dtypes:
        yield verify(gpu, "fast", dtype, models)
    if not gpu:
        yield from commands(gpu, out)
        yield bench(gpu, "bench-builtin", "builtin/cpu/f32/256/decode", out, limit_s=60)
        yield peers(gpu, "peers", "builtin", limit_s=200)
        return
    yield bench(gpu, "bench-sd", "sd-v1-4/cuda", out, limit_s=75)
    yield peers(gpu, "peers", "sd-v1-4", limit_s=60)
    yield from commands(gpu, out)
    yield profile("fast", out)
    yield peers(gpu, "peers-compiled", "sd-v1-4", "--compiled", limit_s=150)
    yield bench(gpu, "bench-flux", "flux1/cuda.*/(512|1024)/(encode|decode|round_trip)$", out, limit_s=75)
    yield peers(gpu, "peers-flux", "flux1", limit_s=60)
    yield profile("reference", out)


def verify(gpu, engine, dtype, models):
    """f32 without TF32: the command sees to that."""
    return golden(gpu, f"golden-{engine}-{dtype}", "--engine", engine, "--dtype", dtype, *only(models))


def live(gpu, dtype, out, environment=None):
    name = f"live-{dtype}" + ("-no-tf32" if environment else "")
    where = [] if gpu else ["--device", "cpu"]
    return python(gpu, name, "live.py", "--gist", BUNDLE / "debug_diffusion_vae.py", "--dtype", dtype, "--binary", BINARY,
                  "--out", out / name, *where, limit_s=100 if gpu else 300, environment=environment, good=(0, 1))  # fmt: skip


def peers(gpu, name, model, *flags, limit_s):
    where = [] if gpu else ["--device", "cpu"]
    return python(gpu, name, "peers.py", "--golden", GOLDEN, "--models", model, *where, *flags, limit_s=limit_s)


def gpu_only(out):
    """Names of the steps that a machine without a GPU leaves out."""
    here = {step.name for step in steps(False, out)}
    return [step.name for step in steps(True, out) if step.name not in here]


def environment_of(step):
    return {**os.environ, **(step.environment or {})}
