"""What can be known of a bundle without a GPU: that its binaries find every symbol.

    check_bundle.py DIR --libtorch TORCH_FOLDER

Symbols have to be defined by that libtorch or by the system, and none may ask for a newer glibc or
libstdc++ than Ubuntu 24.04 and Debian 12 have, which machines with GPUs run.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

NEWEST = {"GLIBC": (2, 36), "GLIBCXX": (3, 4, 30), "CXXABI": (1, 3, 13)}


def too_new(binary):
    """Versions that the binary asks for beyond NEWEST."""
    table = subprocess.run(["objdump", "-T", binary], capture_output=True, text=True, check=True).stdout
    asked = {(kind, tuple(map(int, number.split(".")))) for kind, number in re.findall(r"\b(GLIBC|GLIBCXX|CXXABI)_([\d.]+\d)", table)}
    return sorted(f"{kind}_{'.'.join(map(str, number))}" for kind, number in asked if number > NEWEST[kind])


def unresolved(binary, libtorch):
    """Libraries and symbols that the loader would miss."""
    environment = {"LD_LIBRARY_PATH": f"{libtorch}/lib", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["ldd", "-r", binary], capture_output=True, text=True, env=environment)
    lines = (done.stdout + done.stderr).splitlines()
    # The driver comes with the GPU.
    return [line.strip() for line in lines if ("not found" in line or "undefined symbol" in line) and "libcuda.so" not in line]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--libtorch", required=True)
    args = parser.parse_args()
    problems = []
    for binary in sorted((args.bundle / "bin").iterdir()):
        problems += [f"{binary.name}: asks for {version}" for version in too_new(binary)]
        problems += [f"{binary.name}: {line}" for line in unresolved(binary, args.libtorch)]
    if not any(file.name.startswith("diffusers") for file in (args.bundle / "wheels").iterdir()):
        problems.append("wheels: no diffusers")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
