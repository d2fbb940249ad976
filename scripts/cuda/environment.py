"""What machine this is, as one line of JSON: the GPU, its driver, and the versions that decide bits."""

import json
import os
import platform
import shutil
import subprocess

BINARY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin", "vae-fidelity")


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
    print(json.dumps(row))


if __name__ == "__main__":
    main()
