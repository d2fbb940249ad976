#!/usr/bin/env python3
"""Validates integrations/kubernetes against Kubernetes' own schemas, and runs what it and integrations/slurm would run.

    scripts/python.sh -m vae_fidelity_tools.conformance.clusters BINARY

The commands of the jobs, as they stand there, judge a small data set in shards, with the variables that Slurm and
Kubernetes set; what they put together has to be the result of one run, byte for byte but for `run`. Exits with 1 where
something differs, and says what.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT
from vae_fidelity_tools.pictures.data_sets import photographs, write_folder

KUBERNETES = "1.33"
SHARDS, PICTURES = 16, 5

# The engine whose results do not depend on threads, as a release has no other.
COMMAND = """#!/bin/sh
command=$1
shift
[ "$command" = evaluate ] && set -- "$@" --engine fast --device cpu
exec {binary} "$command" "$@"
"""


def ran(command, folder, **variables):
    """Runs a command of a job, in a folder, with BINARY as `vae-fidelity`."""
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")


def without_run(folder):
    report = json.loads((folder / "result.json").read_text())
    del report["run"]
    return report, *((folder / name).read_bytes() for name in ("rows.parquet", "latents.parquet", "maps.json"))


def slurm(folder):
    """What `sbatch --array=0-15` and the job behind it run."""
    out = folder / "slurm"
    out.mkdir()
    given = {"DATA": str(folder / "data"), "REPO": str(folder / "models" / "vae"), "OUT": str(out)}
    array = {"SLURM_ARRAY_TASK_COUNT": str(SHARDS), "SLURM_ARRAY_TASK_MIN": "0", "SLURM_CPUS_PER_TASK": "2"}
    for task in range(SHARDS):
        ran(["bash", ROOT / "integrations/slurm/evaluate.sbatch"], folder, **given, **array, SLURM_ARRAY_TASK_ID=str(task))
    ran(["bash", ROOT / "integrations/slurm/merge.sbatch"], folder, **given)
    return out / "result"


def job(name):
    """A job's manifest, which Kubernetes takes."""
    manifest = yaml.safe_load((ROOT / "integrations/kubernetes" / name).read_text())
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    return manifest["spec"]


def kubernetes(folder):
    """What the pods run, with the volumes of `folder`."""
    (folder / "result").mkdir()
    evaluate, merge = job("evaluate.yaml"), job("merge.yaml")
    if evaluate["completions"] != SHARDS or evaluate["completionMode"] != "Indexed":
        raise SystemExit(f"evaluate.yaml: expected {SHARDS} indices, found {evaluate['completions']}")
    for spec, indices in ((evaluate, range(SHARDS)), (merge, [0])):
        (container,) = spec["template"]["spec"]["containers"]
        mounted = [volume["mountPath"] for volume in container["volumeMounts"]]
        command = list(container["command"])
        for path in mounted:
            command[-1] = command[-1].replace(f"{path}/", f"{folder}{path}/").replace(f"{path} ", f"{folder}{path} ")
        for index in indices:
            ran(command, folder, JOB_COMPLETION_INDEX=str(index))
    return folder / "result" / "merged"


def refuses():
    """Whether the schemas are looked at: a manifest with a word that Kubernetes does not know has to be refused."""
    manifest = yaml.safe_load((ROOT / "integrations/kubernetes/evaluate.yaml").read_text())
    manifest["spec"]["completionModes"] = manifest["spec"].pop("completionMode")
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError:
        return True
    return False


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("binary", type=Path, help="the vae-fidelity to run")
    args = parser.parse_args()
    if not refuses():
        sys.exit("a manifest that is wrong was not refused")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "bin").mkdir()
        (folder / "bin" / "vae-fidelity").write_text(COMMAND.format(binary=args.binary.resolve()))
        (folder / "bin" / "vae-fidelity").chmod(0o755)
        (folder / "models").mkdir()
        (folder / "models" / "vae").symlink_to(ROOT / "golden" / "models" / "builtin")
        write_folder(list(photographs(PICTURES)), folder / "data")
        whole = folder / "whole"
        command = ["vae-fidelity", "evaluate", "data", "--repo", folder / "models" / "vae", "--out", whole]
        ran([*command, "--protocol", "vae-fidelity-256"], folder)
        expected = without_run(whole)
        for way in (slurm, kubernetes):
            if without_run(way(folder)) != expected:
                sys.exit(f"{way.__name__}: another result than one run's")
    print(f"{SHARDS} shards on Slurm and on Kubernetes: the result of one run")


if __name__ == "__main__":
    main()
