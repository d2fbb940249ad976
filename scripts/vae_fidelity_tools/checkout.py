"""Where things are in the checkout, and what cargo builds of it.

    python3 scripts/vae_fidelity_tools/checkout.py target-directory
    python3 scripts/vae_fidelity_tools/checkout.py executables [--named] build --locked --bin vae-fidelity

print, for shell scripts, where cargo builds in the current folder, and the path of every executable
that cargo with these arguments builds there or finds up to date, with --named behind its target's name.
Needs no package but Python's own: the first command of the README calls it.
"""

import json
import subprocess
import sys
from pathlib import Path

# Of a bundle (scripts/cuda_bundle.sh) it is the bundle's own folder.
ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "golden"
IMAGES = GOLDEN / "images"
MODELS = GOLDEN / "models"
# Folders in it with the goldens of single classes, each a crate of its own.
PARTS = ("tiny", "asymmetric", "wan", "dc", "hunyuan")


class CargoFailed(Exception):
    """Cargo has said why on standard error; `status` is its exit code."""

    def __init__(self, status):
        super().__init__(f"cargo failed with status {status}; its reason is above")
        self.status = status


def program(module):
    """The command that runs a module of this package in a process of its own."""
    return [sys.executable, "-m", f"vae_fidelity_tools.{module}"]


def cargo(*arguments, folder=ROOT):
    """Runs cargo in a folder, whose .cargo/config.toml it reads; returns what it printed."""
    command = ["cargo", *map(str, arguments)]
    try:
        done = subprocess.run(command, cwd=str(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except FileNotFoundError:
        sys.exit("error: cargo: not found\n  next: install Rust (https://rustup.rs), then run again")
    if done.returncode:
        raise CargoFailed(done.returncode)
    return done.stdout.decode()


def target_directory(folder=ROOT):
    metadata = cargo("metadata", "--format-version", "1", "--no-deps", folder=folder)
    return Path(json.loads(metadata)["target_directory"])


def executables(*arguments, folder=ROOT):
    """{target's name: path} of what `cargo ARGUMENTS` builds."""
    printed = cargo(*arguments, "--message-format", "json-render-diagnostics", folder=folder)
    messages = [json.loads(line) for line in printed.splitlines()]
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}


def binary(*flags):
    """Builds the command with these flags of `cargo build`; returns its path."""
    return executables("build", "--locked", "--bin", "vae-fidelity", *flags)["vae-fidelity"]


def main(arguments):
    verb, rest = (arguments or [""])[0], arguments[1:]
    named = rest[:1] == ["--named"]
    if verb == "target-directory" and not rest:
        print(target_directory(folder="."))
    elif verb == "executables" and rest[named:]:
        for name, path in executables(*rest[named:], folder=".").items():
            print(f"{name} {path}" if named else path)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CargoFailed as failure:
        sys.exit(failure.status)
