#!/usr/bin/env python3
"""Brings libtorch, the C++ library below PyTorch, into a git-ignored folder of the checkout.

The parts come out of PyTorch's own wheels, which pip downloads and checks against the SHA-256
values below. No Python is needed once they are there. A libtorch of the user's own (LIBTORCH or
LIBTORCH_USE_PYTORCH) is checked and used instead.

Everything is prepared in a folder beside the destination and renamed at the very end, so a folder
that looks complete is complete. After an interruption the next run goes on from the last wheel
that had arrived whole.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

# What tch and torch-sys in Cargo.toml are made for; they go up together.
TORCH = "2.13.0"
ROOT = Path(__file__).resolve().parent.parent
CONTENTS = "contents.json"
CHUNK = 1 << 20


class Wheel(NamedTuple):
    """A wheel, as pip is asked for it."""

    requirement: str
    platform: str
    sha256: str
    megabytes: int


class LibtorchSet(NamedTuple):
    """What is fetched for one kind of machine, and what is kept of it."""

    wheels: Sequence[Wheel]
    # File names kept of the wheels' lib folders; None keeps the wheels' layout and every library,
    # since the libraries look for each other in `../../nvidia/*/lib`.
    libraries: Optional[Sequence[str]]
    unpacked_megabytes: int


LINUX_LIBRARIES = (
    "libtorch.so",
    "libtorch_cpu.so",
    "libc10.so",
    "libgomp.so.1",
    # PyPI's libtorch_cpu.so is linked to these two, though it never calls them without a GPU.
    "libcudart.so.13",
    "libcupti.so.13",
)

TORCH_X86_64 = Wheel(
    "torch==2.13.0",
    "manylinux_2_28_x86_64",
    "60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7",
    527,
)
CUDART_X86_64 = Wheel(
    "nvidia-cuda-runtime==13.0.96",
    "manylinux2014_x86_64",
    "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
    2,
)
CUPTI_X86_64 = Wheel(
    "nvidia-cuda-cupti==13.0.85",
    "manylinux_2_25_x86_64",
    "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8",
    11,
)

# The Python tag of the torch wheel does not matter to libtorch: everyone gets cp311's.
SETS: Dict[Tuple[str, str, str], LibtorchSet] = {
    ("Linux", "x86_64", "cpu"): LibtorchSet((TORCH_X86_64, CUDART_X86_64, CUPTI_X86_64), LINUX_LIBRARIES, 490),
    ("Linux", "x86_64", "cuda"): LibtorchSet(
        (
            TORCH_X86_64,
            CUDART_X86_64,
            CUPTI_X86_64,
            Wheel(
                "nvidia-cublas==13.1.1.3",
                "manylinux_2_27_x86_64",
                "37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436",
                423,
            ),
            Wheel(
                "nvidia-cuda-nvrtc==13.0.88",
                "manylinux2010_x86_64",
                "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
                90,
            ),
            Wheel(
                "nvidia-cudnn-cu13==9.20.0.48",
                "manylinux_2_27_x86_64",
                "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304",
                366,
            ),
            Wheel(
                "nvidia-cufft==12.0.0.61",
                "manylinux2014_x86_64",
                "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
                214,
            ),
            Wheel(
                "nvidia-cufile==1.15.1.6",
                "manylinux2014_x86_64",
                "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44",
                1,
            ),
            Wheel(
                "nvidia-curand==10.4.0.35",
                "manylinux_2_27_x86_64",
                "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
                60,
            ),
            Wheel(
                "nvidia-cusolver==12.0.4.66",
                "manylinux_2_27_x86_64",
                "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112",
                201,
            ),
            Wheel(
                "nvidia-cusparse==12.6.3.3",
                "manylinux2014_x86_64",
                "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b",
                146,
            ),
            Wheel(
                "nvidia-cusparselt-cu13==0.8.1",
                "manylinux2014_x86_64",
                "786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0",
                170,
            ),
            Wheel(
                "nvidia-nccl-cu13==2.29.7",
                "manylinux_2_18_x86_64",
                "edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d",
                206,
            ),
            Wheel(
                "nvidia-nvjitlink==13.0.88",
                "manylinux2010_x86_64",
                "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
                41,
            ),
            Wheel(
                "nvidia-nvshmem-cu13==3.4.5",
                "manylinux2014_x86_64",
                "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80",
                60,
            ),
            Wheel(
                "nvidia-nvtx==13.0.85",
                "manylinux1_x86_64",
                "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4",
                1,
            ),
        ),
        None,
        3850,
    ),
    ("Linux", "aarch64", "cpu"): LibtorchSet(
        (
            Wheel(
                "torch==2.13.0",
                "manylinux_2_28_aarch64",
                "092790c696a760c729fd5722835f50b9d81fd7c8f141571f3f3cf4081a8f664c",
                427,
            ),
            Wheel(
                "nvidia-cuda-runtime==13.0.96",
                "manylinux2014_aarch64",
                "ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55",
                2,
            ),
            Wheel(
                "nvidia-cuda-cupti==13.0.85",
                "manylinux_2_25_aarch64",
                "796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151",
                11,
            ),
        ),
        LINUX_LIBRARIES
        + (
            "libarm_compute.so",
            "libarm_compute_graph.so",
            "libgfortran.so.5",
            "libnvpl_blas_core.so.0",
            "libnvpl_blas_lp64_gomp.so.0",
            "libnvpl_lapack_core.so.0",
            "libnvpl_lapack_lp64_gomp.so.0",
        ),
        370,
    ),
    ("Darwin", "arm64", "cpu"): LibtorchSet(
        (
            Wheel(
                "torch==2.13.0",
                "macosx_14_0_arm64",
                "e76f9bcecc52b8ff711239a2f7547d5353df95878ab232f0773c1d95928b92f8",
                111,
            ),
        ),
        ("libtorch.dylib", "libtorch_cpu.dylib", "libc10.dylib", "libomp.dylib"),
        400,
    ),
}
# Put together from the wheels' contents alone; nobody has run them yet.
UNTRIED = {("Linux", "aarch64", "cpu"), ("Darwin", "arm64", "cpu")}


class Failure(Exception):
    """Something the user has to act on: what is wrong, then what to do."""

    def __init__(self, problem: str, next_step: str):
        super().__init__(problem)
        self.next_step = next_step


def say(text: str) -> None:
    print(text, flush=True)


# ---------------------------------------------------------------------------------------------
# A libtorch of the user's own


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


# ---------------------------------------------------------------------------------------------
# The folder this script makes


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


def kept_as(wanted: LibtorchSet, member: str) -> Optional[PurePosixPath]:
    """Where a wheel's member goes below the destination; None leaves it out."""
    path = PurePosixPath(member)
    parts = path.parts
    if member.endswith("/") or ".." in parts or path.is_absolute():
        return None
    is_header = parts[:2] == ("torch", "include")
    if wanted.libraries is not None:
        if is_header:
            return PurePosixPath(*parts[1:])
        if len(parts) > 2 and parts[-2] == "lib" and path.name in wanted.libraries:
            return PurePosixPath("lib", path.name)
        return None
    is_library = parts[0] in ("torch", "nvidia") and "lib" in parts[1:-1] and ".so" in path.name
    # libtorch_python needs an interpreter to link to.
    if is_header or (is_library and path.name != "libtorch_python.so"):
        return path
    return None


class Progress:
    """One line that counts megabytes on a terminal; nothing elsewhere."""

    def __init__(self, label: str, total: int):
        self.label, self.total, self.done, self.shown = label, max(total, 1), 0, -1
        self.live = sys.stdout.isatty()

    def add(self, amount: int) -> None:
        self.done += amount
        percent = 100 * self.done // self.total
        if self.live and percent != self.shown:
            self.shown = percent
            text = f"\r{self.label}: {self.done >> 20} of {self.total >> 20} MiB ({percent} %)"
            print(text, end="", flush=True)

    def close(self) -> None:
        if self.live:
            print(flush=True)


def unpack(wanted: LibtorchSet, wheels: List[Path], tree: Path) -> Dict[str, Tuple[int, str]]:
    """Writes the kept members below `tree`; returns each one's size and SHA-256."""
    chosen = []
    for wheel in wheels:
        with zipfile.ZipFile(str(wheel)) as archive:
            members = [(kept_as(wanted, m.filename), m) for m in archive.infolist()]
        chosen.append((wheel, [(to, member) for to, member in members if to is not None]))
    present = {to.name for _, members in chosen for to, _ in members}
    missing = [name for name in wanted.libraries or ("libtorch_cuda.so",) if name not in present]
    if missing:
        raise Failure(
            f"the wheels of torch {TORCH} lack {', '.join(missing)}",
            "this script does not fit these wheels any more; please report it",
        )
    say(f"Unpacking the parts that a build needs, about {wanted.unpacked_megabytes} MB")
    progress = Progress("  unpacked", sum(m.file_size for _, ms in chosen for _, m in ms))
    files: Dict[str, Tuple[int, str]] = {}
    for wheel, members in chosen:
        with zipfile.ZipFile(str(wheel)) as archive:
            for to, member in members:
                path = tree / to
                path.parent.mkdir(parents=True, exist_ok=True)
                digest = hashlib.sha256()
                # Reading to the end checks the member's CRC too.
                with archive.open(member) as source, path.open("wb") as target:
                    for block in iter(lambda: source.read(CHUNK), b""):
                        target.write(block)
                        digest.update(block)
                        progress.add(len(block))
                files[str(to)] = (member.file_size, digest.hexdigest())
    progress.close()
    return files


def check_pip() -> None:
    asked = subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if asked.returncode != 0:
        raise Failure(
            f"{sys.executable} has no pip, which does the download",
            f"install pip for it (Debian, Ubuntu: apt install python3-pip), or set LIBTORCH to a libtorch {TORCH} of your own",
        )


def fetch(wheel: Wheel, folder: Path) -> Path:
    """The wheel in `folder`, downloaded by pip unless it is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    start = wheel.requirement.replace("==", "-").replace("-", "_").lower()

    def arrived() -> List[Path]:
        return [p for p in folder.glob("*.whl") if p.name.replace("-", "_").lower().startswith(start)]

    for path in arrived():
        if sha256_of(path) == wheel.sha256:
            say(f"{wheel.requirement}: already here, SHA-256 right")
            return path
        say(f"{wheel.requirement}: {path.name} is damaged; fetching it again")
        path.unlink()
    say(f"{wheel.requirement}: downloading {wheel.megabytes} MB")
    # pip fills a temporary folder first: on the destination's disk, and gone with it.
    with tempfile.TemporaryDirectory(dir=str(folder)) as temporary:
        requirements = Path(temporary) / "requirements.txt"
        requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", "utf-8")
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download"]
        command += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command += ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
        command += ["--platform", wheel.platform, "--dest", str(folder), "-r", str(requirements)]
        if not sys.stdout.isatty():
            command.append("--quiet")  # no progress bar in a log
        done = subprocess.run(command, env={**os.environ, "TMPDIR": temporary})
    if done.returncode != 0:
        raise Failure(
            f"pip could not download {wheel.requirement} with SHA-256 {wheel.sha256} (its reason is above)",
            "if the network failed, run the same command again: what has arrived whole is kept. "
            "If the hash differs, your package index serves another file. Or set LIBTORCH to a "
            f"libtorch {TORCH} of your own",
        )
    paths = arrived()
    if not paths or sha256_of(paths[0]) != wheel.sha256:
        raise Failure(
            f"{wheel.requirement}: pip ended well, but no wheel with SHA-256 {wheel.sha256} is in {folder}",
            "run the same command again",
        )
    return paths[0]


@contextlib.contextmanager
def only_one(partial: Path):
    """Holds the work folder; a second run waits for the first."""
    import fcntl  # not on Windows, which is refused before

    while True:
        partial.mkdir(parents=True, exist_ok=True)
        lock = (partial / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say(f"Another run is at work in {partial}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # The run before may have finished and taken the folder, lock and all, away.
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(str(partial / "lock"))):
                break
        lock.close()
    try:
        yield
    finally:
        lock.close()


def machine_set(kind: str) -> LibtorchSet:
    """The set for this machine, or why there is none."""
    system, machine = platform.system(), platform.machine()
    own = f"set LIBTORCH to the folder of a libtorch {TORCH} for this machine"
    if system == "Linux":
        libc, version = platform.libc_ver()
        if libc != "glibc":
            raise Failure("PyTorch's wheels need glibc, and this system has another C library", own)
        if tuple(int(n) for n in version.split(".")[:2]) < (2, 28):
            raise Failure(f"PyTorch's wheels need glibc 2.28 or newer, found {version}", own)
    wanted = SETS.get((system, machine, kind))
    if wanted is None:
        known = ", ".join(" ".join(key) for key in SETS)
        raise Failure(f"no {kind} set is known for {system} {machine} (known: {known})", own)
    if (system, machine, kind) in UNTRIED:
        say(
            f"note: the set for {system} {machine} was put together from the wheels' contents and "
            "has not been run on such a machine; please report how it goes"
        )
    return wanted


def check_disk(destination: Path, partial: Path, wanted: LibtorchSet) -> None:
    here = sum(p.stat().st_size for p in partial.glob("wheels/*.whl")) // 10**6
    download = sum(wheel.megabytes for wheel in wanted.wheels)
    # pip holds a second copy of a wheel while it moves it into place.
    needed = download - here + max(w.megabytes for w in wanted.wheels) + wanted.unpacked_megabytes
    free = shutil.disk_usage(str(destination.parent)).free // 10**6
    if free < needed:
        raise Failure(
            f"{destination.parent}: about {needed} MB are needed for a while, {free} MB are free",
            f"make room, or use --dir on another disk and set LIBTORCH to it ({wanted.unpacked_megabytes} MB stay)",
        )


def install(destination: Path, kind: str) -> None:
    """Makes the destination hold the set, whatever an earlier run left."""
    found = state_of(destination, kind)
    if found.problem is None:
        say(f"libtorch {TORCH} ({found.kind}) is in {destination}; nothing to do")
        return
    if not found.ours:
        raise Failure(
            f"{destination}: {found.problem}",
            "it was not made by this script, so it is left alone: delete it, or choose another folder with --dir",
        )
    wanted = machine_set(kind)
    check_pip()
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(destination.name + ".partial")
    with only_one(partial):
        if state_of(destination, kind).problem is None:
            say(f"libtorch {TORCH} is in {destination}, put there by another run")
            shutil.rmtree(str(partial), ignore_errors=True)
            return
        for stale in partial.glob("wheels/tmp*"):
            shutil.rmtree(str(stale), ignore_errors=True)
        check_disk(destination, partial, wanted)
        total = sum(wheel.megabytes for wheel in wanted.wheels)
        say(
            f"Fetching libtorch {TORCH} ({kind}) into {destination}: {len(wanted.wheels)} wheels, "
            f"{total} MB; {wanted.unpacked_megabytes} MB stay"
        )
        wheels = [fetch(wheel, partial / "wheels") for wheel in wanted.wheels]
        tree = partial / "tree"
        if tree.exists():
            shutil.rmtree(str(tree))
        tree.mkdir()
        files = unpack(wanted, wheels, tree)
        if wanted.libraries is None:
            for name in ("include", "lib"):
                (tree / name).symlink_to(Path("torch") / name)
        (tree / "build-version").write_text(f"{TORCH}\n", "utf-8")
        record = {"torch": TORCH, "set": kind, "files": files}
        (tree / CONTENTS).write_text(json.dumps(record, indent=0), "utf-8")
        if destination.exists():
            old = partial / "old"
            if old.exists():
                shutil.rmtree(str(old))
            destination.rename(old)
        tree.rename(destination)
        shutil.rmtree(str(partial), ignore_errors=True)
    say(f"libtorch {TORCH} ({kind}) is in {destination}")


def check(destination: Path, kind: str) -> None:
    """--check: fetches nothing; reads every file of a folder made by this script."""
    found = state_of(destination, kind, thorough=True)
    if found.problem is not None:
        command = "python3 scripts/libtorch.py" + (" --cuda" if kind == "cuda" else "")
        raise Failure(f"{destination}: {found.problem}", f"run {command}")
    known = "every file as written" if found.ours else "not made by this script, version right"
    say(f"libtorch {TORCH} ({found.kind}) is in {destination}: {known}")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=f"Brings libtorch {TORCH} into a folder; a LIBTORCH or LIBTORCH_USE_PYTORCH of your own wins."
    )
    parser.add_argument("--cuda", action="store_true", help="the full set, for NVIDIA GPUs (Linux)")
    parser.add_argument(
        "--dir",
        type=Path,
        default=ROOT / ".libtorch",
        metavar="DIR",
        help="where to (default: .libtorch in the checkout; set LIBTORCH to any other)",
    )
    parser.add_argument("--check", action="store_true", help="fetch nothing, say what is there")
    options = parser.parse_args(arguments)
    kind = "cuda" if options.cuda else "cpu"
    destination = options.dir.expanduser().resolve()
    try:
        if not check_users_own(destination):
            (check if options.check else install)(destination, kind)
    except Failure as failure:
        print(f"error: {failure}\n  next: {failure.next_step}", file=sys.stderr)
        return 1
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}\n  next: run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
