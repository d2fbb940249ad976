"""A libtorch of the user's own: LIBTORCH, or LIBTORCH_USE_PYTORCH."""

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import Optional

from vae_fidelity_tools.libtorch.failure import Failure, say
from vae_fidelity_tools.libtorch.wheels import TORCH


def version_in(folder: Path) -> Optional[str]:
    """The version that a libtorch folder, or a site-packages/torch, says it has."""
    for name, pattern in (
        ("build-version", r"^(\S+)"),
        ("version.py", r"__version__\s*=\s*'([^']+)'"),
    ):
        with contextlib.suppress(OSError):
            found = re.search(pattern, (folder / name).read_text("utf-8", "replace"), re.M)
            if found:
                return found.group(1)
    for header in ("torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"):
        with contextlib.suppress(OSError):
            text = (folder / "include" / header).read_text("utf-8", "replace")
            numbers = [re.search(rf"#define TORCH_VERSION_{part} (\d+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
            if all(numbers):
                return ".".join(n.group(1) for n in numbers if n)
    return None


def require_version(found: Optional[str], where: str, next_step: str) -> None:
    if found is not None and found.split("+")[0] == TORCH:
        return
    if os.environ.get("LIBTORCH_BYPASS_VERSION_CHECK") is not None:
        say(f"warning: {where} has version {found}, not {TORCH}; LIBTORCH_BYPASS_VERSION_CHECK is set")
        return
    if found is None:
        raise Failure(
            f"{where}: no version found there (looked for build-version, version.py and the "
            f"headers' version.h); libtorch {TORCH} is needed",
            next_step,
        )
    raise Failure(f"{where}: libtorch {TORCH} is needed, found {found}", next_step)


def check_python_torch() -> None:
    """LIBTORCH_USE_PYTORCH: ask the interpreter that torch-sys will ask."""
    python = "python" if "VIRTUAL_ENV" in os.environ else "python3"
    where = f"LIBTORCH_USE_PYTORCH is set: `{python}`"
    next_step = f"install torch=={TORCH} for `{python}`, or unset LIBTORCH_USE_PYTORCH to let this script fetch libtorch"
    try:
        asked = subprocess.run(
            [python, "-c", "import torch; print(torch.__version__)"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
    except OSError as error:
        raise Failure(f"{where} does not start: {error.strerror}", next_step) from error
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Failure(f"{where} cannot import torch: {reason}", next_step)
    version = asked.stdout.strip()
    require_version(version, where, next_step)
    say(f"libtorch {version} comes from {python}'s torch (LIBTORCH_USE_PYTORCH); nothing to fetch")


def check_own_folder(value: str) -> None:
    """LIBTORCH: the folder has to hold headers, libraries and the right version."""
    next_step = f"point LIBTORCH at a libtorch {TORCH}, or unset it to let this script fetch one"
    if not value:
        raise Failure("LIBTORCH is set, but empty", next_step)
    folder = Path(value)
    if not folder.is_absolute():
        raise Failure(f"LIBTORCH={value}: an absolute path is needed", next_step)
    headers = Path(os.environ.get("LIBTORCH_INCLUDE") or folder) / "include"
    libraries = Path(os.environ.get("LIBTORCH_LIB") or folder) / "lib"
    if not (headers / "torch/csrc/api/include/torch/torch.h").is_file():
        raise Failure(f"LIBTORCH={value}: no headers in {headers}", next_step)
    if not any(libraries.glob("libtorch_cpu.*")):
        raise Failure(f"LIBTORCH={value}: no libtorch_cpu in {libraries}", next_step)
    version = version_in(folder) or version_in(headers.parent)
    require_version(version, f"LIBTORCH={value}", next_step)
    say(f"libtorch {version} is your own, in {folder} (LIBTORCH); nothing to fetch")


def check_users_own(destination: Path) -> bool:
    """Whether the user brings a libtorch; fails if it is the wrong one."""
    if "LIBTORCH_USE_PYTORCH" in os.environ:
        check_python_torch()
        return True
    value = os.environ.get("LIBTORCH")
    if value is None or (value and Path(value).resolve() == destination):
        return False
    check_own_folder(value)
    return True
