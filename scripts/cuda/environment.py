"""What machine this is, as one line of JSON: the GPU, its driver, and the versions that decide bits.

What keeps the bundle from running here is its `problem`, and exit code 1.
"""

import json
import os
import platform
import shutil
import subprocess
import sys

STEPS = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(os.path.dirname(STEPS), "bin", "vae-fidelity")


def said(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{argv[0]}: {error}"
    return done.stdout.strip() if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()[-500:]}"


def version(name):
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def linked_torch():
    """The PyTorch that the binaries are linked to, as the bundle's maker wrote it down."""
    with open(os.path.join(STEPS, "torch_version.txt")) as file:
        return file.read().strip()


def problems(row):
    """What keeps steps from running, or makes what they find worth nothing."""
    linked = linked_torch()
    if (row["torch"] or "").split("+")[0] != linked:
        yield f"PyTorch {row['torch']} is here, and the binaries are linked to {linked}: set PYTHON to a Python that has it"
    elif not row["binary"].startswith("vae-fidelity "):
        yield f"bin/vae-fidelity does not start: {row['binary']}"
    if row["diffusers"] is None:
        yield f"no diffusers: make the bundle with scripts/cuda_bundle.sh --python {'.'.join(platform.python_version_tuple()[:2])}"
    if not row["cuda"] and said("nvidia-smi", "-L").startswith("GPU "):
        yield f"nvidia-smi finds a GPU and PyTorch does not (PyTorch {row['torch']} for CUDA {row['torch_cuda']})"


def main():
    row = {"python": platform.python_version(), "processors": os.cpu_count(), "binary": said(BINARY, "--version")}
    for name in ("torch", "diffusers", "pillow", "numpy", "safetensors", "huggingface-hub", "triton"):
        row[name] = version(name)
    row["ncu"] = shutil.which("ncu")
    import torch

    row["cuda"] = torch.cuda.is_available()
    row["torch_cuda"], row["cudnn"] = torch.version.cuda, torch.backends.cudnn.version()
    row["allow_tf32"] = {"cudnn": torch.backends.cudnn.allow_tf32, "matmul": torch.backends.cuda.matmul.allow_tf32}
    row["cudnn_benchmark"] = torch.backends.cudnn.benchmark
    if row["cuda"]:
        properties = torch.cuda.get_device_properties(0)
        row["gpu"] = {"name": properties.name, "memory_bytes": properties.total_memory,
                      "capability": f"{properties.major}.{properties.minor}", "multiprocessors": properties.multi_processor_count}
        row["driver"] = said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    found = list(problems(row))
    row |= {"passed": not found, "problem": "; ".join(found) or None}
    print(json.dumps(row))
    return int(not row["passed"])


if __name__ == "__main__":
    sys.exit(main())
