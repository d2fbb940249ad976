"""The gist and vae-fidelity's reference engine on one device: the bar is equal bits.

Runs the gist's own functions on every small golden case and on full graphs, in one dtype on one
device, writes what they passed along as a suite of goldens that allows no difference, and has
`vae-fidelity golden verify` judge it. A planted change of one last bit has to be noticed. In f16,
which is the gist's own choice on CUDA, its command line and `vae-fidelity check` are compared too.
The last line of stdout is JSON.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--gist", required=True)
parser.add_argument("--dtype", required=True, choices=("f32", "f16", "bf16"))
parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
parser.add_argument("--binary", required=True)
parser.add_argument("--out", required=True, type=Path)
ARGS = parser.parse_args()
os.environ["VAE_FIDELITY_GIST_DEVICE"] = ARGS.device  # before reference_script is imported

import numpy as np
from PIL import Image

from vae_fidelity_tools.checkout import GOLDEN
from vae_fidelity_tools.goldens import reference_script
from vae_fidelity_tools.goldens.cases import CASES, FULL_MODELS
from vae_fidelity_tools.goldens.recipe import repository
from vae_fidelity_tools.goldens.store import SCHEMA_VERSION, manifest_json, manifest_row, write_case

# Of the full graphs, those that tell most in little time.
FULL_CASES = ("sd-v1-4-512", "sd-v1-4-sample", "sd3-96x64")
# On a CPU this is a trial of the bundle, whose 16-bit types would take minutes.
TRIAL_MODELS = ("builtin", "sd-small")
PLANTED = "planted-last-bit"


def chosen():
    """Each golden case once, on the device and in the dtype asked for; cases of one model follow each other."""
    cases = [case for case in CASES if case.model not in FULL_MODELS or case.name in FULL_CASES]
    # In 16 bits a case of f32 stands for the one of 16 bits too.
    cases = [case for case in cases if case.dtype == "f32" and case.device == "cpu"]
    if ARGS.device == "cpu":
        cases = [case for case in cases if case.model in TRIAL_MODELS]
        if ARGS.dtype != "f32":
            cases = [case for case in cases if case.name in ("builtin-tiny", "sd-small-sample-tiny", "builtin-sample-tiny")]
    cases = [replace(case, dtype=ARGS.dtype, device=ARGS.device, trace=False, blocks=False) for case in cases]
    return sorted(cases, key=lambda case: case.model)


def write_suite(gist, suite, cache):
    """Writes the folder that `golden verify` judges; the names of its cases, and of those with nothing to compare."""
    (suite / "models").mkdir(parents=True)
    shutil.copytree(GOLDEN / "images", suite / "images")
    rows, overflowed, loaded, vae = [], [], None, None
    for case in chosen():
        if case.model != loaded:
            vae = None  # or two full models are in memory
            folder = repository(case.model_folder, cache)
            # The very files: where in memory a weight lies can decide a last bit of a product of one pixel.
            (suite / "models" / case.model).symlink_to(folder.resolve(), target_is_directory=True)
            loaded, vae = case.model, reference_script.load_vae(gist, folder, case.dtype)
        run = reference_script.run(gist, vae, GOLDEN / "images", case)
        # In f16 the gist itself overflows where a log-variance is made to be extreme.
        if not np.isfinite(run.decoded).all():
            print(f"{case.name}: the gist decodes to NaN or infinity", file=sys.stderr)
            overflowed.append(case.name)
            continue
        rows.append(manifest_row(case, write_case(suite / "cases" / case.name, run)))
        if not any(row["name"] == PLANTED for row in rows) and run.latents.size >= 16:
            rows.append(planted(suite, case, run))
    manifest = {"schema_version": SCHEMA_VERSION, "gist_sha256": reference_script.GIST_SHA256, "versions": {},
                "cpu_capability": ARGS.device, "processor": None, "threads": 0, "tolerances": "tolerances.json",
                "cases": rows}  # fmt: skip
    (suite / "manifest.json").write_text(manifest_json(manifest))
    (suite / "tolerances.json").write_text('{"schema_version": 1, "rows": []}')
    return [row["name"] for row in rows], overflowed


def planted(suite, case, run):
    """A copy of a case with one latent moved by a last bit of its dtype."""
    step = {"f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}[ARGS.dtype]
    latents = run.latents.copy()
    at = np.unravel_index(np.abs(latents).argmax(), latents.shape)
    latents[at] += np.float32(step * 2.0 ** np.floor(np.log2(abs(latents[at]))))
    changed = replace(case, name=PLANTED)
    return manifest_row(changed, write_case(suite / "cases" / PLANTED, replace(run, latents=latents)))


def verify(suite):
    argv = [ARGS.binary, "golden", "verify", "--golden", str(suite), "--engine", "reference", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    if done.returncode not in (0, 1):
        raise SystemExit(f"golden verify: exit code {done.returncode}\n{done.stdout}")
    return json.loads(done.stdout)


def command_lines(gist_path, cache):
    """The gist as a program against `check`: names of runs whose pictures differ."""
    different = []
    for model, seed in (("builtin", 7), ("sd-small", None)):
        folder, image = repository(GOLDEN / "models" / model, cache), GOLDEN / "images" / "astronaut.png"
        draw = [] if seed is None else ["--sample", "--seed", str(seed)]
        with tempfile.TemporaryDirectory() as temporary:
            outs = [Path(temporary) / name for name in ("gist.png", "check.png")]
            shared = ["--image", str(image), "--repo", str(folder), *draw, "--out"]
            programs = ([sys.executable, gist_path], [ARGS.binary, "check", "--quiet", "--device", ARGS.device])
            for program, out in zip(programs, outs):
                done = subprocess.run([*program, *shared, str(out)], capture_output=True, text=True)
                if not out.is_file():
                    raise SystemExit(f"{program[0]}: exit code {done.returncode}\n{done.stderr}")
            theirs, ours = (np.array(Image.open(out)) for out in outs)
            if not np.array_equal(theirs, ours):
                levels = np.abs(theirs.astype(int) - ours.astype(int))
                different.append(f"{model}, seed {seed}: {(levels > 0).mean():.2%} of values, by {levels.max()} at most")
    return different


def main():
    gist = reference_script.load_gist(ARGS.gist)
    cache = ARGS.out.parent / "weights"
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(ARGS.out, ignore_errors=True)
    names, overflowed = write_suite(gist, ARGS.out, cache)
    report = verify(ARGS.out)
    failed = {}
    for case in report["cases"]:
        for check in case["checks"]:
            if check["outcome"] == "failed":
                comparison = check["comparison"] or {}
                failed.setdefault(case["case"], {})[check["tensor"]] = check["reason"] or comparison.get("max_abs_diff")
    noticed = failed.pop(PLANTED, {})
    own_pick = ARGS.dtype == ("f16" if ARGS.device == "cuda" else "f32")
    programs = command_lines(ARGS.gist, cache) if own_pick else None
    summary = report["summary"]
    result = {
        "passed": not failed and not programs and "latents" in noticed and "moments" not in noticed and not report["not_run"],
        "cases": len(names) - 1, "cases_equal": len(names) - 1 - len(failed), "tensors_judged": summary["tensors_judged"],
        "tensors_equal": summary["tensors_bit_identical"], "different": failed, "planted_last_bit_noticed": bool(noticed),
        "programs_different": programs, "not_run": report["not_run"],
        "overflowed_in_the_gist": overflowed,
    }  # fmt: skip
    print(json.dumps(result))
    return int(not result["passed"])


if __name__ == "__main__":
    sys.exit(main())
