"""The folder that scripts/libtorch.py makes: whether it is as it was written."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple, Optional

from vae_fidelity_tools.libtorch.users_own import version_in
from vae_fidelity_tools.libtorch.wheels import TORCH

CONTENTS = "contents.json"
CHUNK = 1 << 20


def read_contents(folder: Path) -> Optional[dict]:
    try:
        return json.loads((folder / CONTENTS).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(CHUNK), b""):
            digest.update(block)
    return digest.hexdigest()


def damage(folder: Path, contents: dict, thorough: bool) -> Optional[str]:
    """The first file that is not as it was written, if any; `thorough` reads every byte."""
    for name, (size, sha256) in contents["files"].items():
        path = folder / name
        if not thorough and not path.name.startswith("lib"):
            continue
        try:
            found = path.stat().st_size
        except OSError:
            return f"{name} is missing"
        if found != size:
            return f"{name} should have {size} bytes, and has {found}"
        if thorough and sha256_of(path) != sha256:
            return f"{name} does not have the SHA-256 it was written with"
    return None


class State(NamedTuple):
    """What is in the destination. `problem` is None if it can be used as it is."""

    problem: Optional[str]
    # Whether this script may replace it.
    ours: bool
    kind: str = ""


def state_of(folder: Path, kind: str, thorough: bool = False) -> State:
    """Looks at a folder that should hold at least the set `kind`."""
    if not folder.is_dir():
        if folder.exists() or folder.is_symlink():
            return State("it is not a folder", ours=False)
        return State("it is not there", ours=True)
    contents = read_contents(folder)
    if contents is None:
        if not any(folder.iterdir()):
            return State("it is empty", ours=True)
        # Put there by hand: good if it is the right version, never deleted if not.
        version = version_in(folder)
        if version is None:
            return State("it holds other things, and no libtorch", ours=False)
        if version.split("+")[0] != TORCH:
            return State(f"libtorch {TORCH} is needed, it holds {version}", ours=False)
        has_cuda = (folder / "lib/libtorch_cuda.so").exists()
        if kind == "cuda" and not has_cuda:
            return State("it has no libtorch_cuda.so", ours=False)
        if not any(folder.glob("lib/libtorch_cpu.*")):
            return State("it has no lib/libtorch_cpu", ours=False)
        return State(None, ours=False, kind="cuda" if has_cuda else "cpu")
    if contents.get("torch") != TORCH:
        return State(f"libtorch {TORCH} is needed, it holds {contents.get('torch')}", ours=True)
    broken = damage(folder, contents, thorough)
    if broken:
        return State(broken, ours=True)
    if kind == "cuda" and contents["set"] != "cuda":
        return State("it holds the CPU set, and --cuda is asked for", ours=True)
    return State(None, ours=True, kind=contents["set"])
