#!/usr/bin/env python3
"""Packs the folder that a release is made of, and writes the archive's SHA-256 beside it.

    dist_archive.py licences TARGET [CRATE] > THIRD-PARTY-LICENSES.txt
    dist_archive.py pack FOLDER TARGET    # FOLDER.tar.xz, or FOLDER.zip for Windows

The same commit gives the same archive: files are sorted and bear the commit's date. Run by
scripts/dist.sh, in the root of the checkout.
"""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Dict, List, Tuple

NAMES = ("licen", "copying", "copyright", "notice", "unlicense")


def output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked_crates(target: str, crate: str) -> List[Tuple[str, str]]:
    """(name, version) of what is in the binary: neither build scripts' crates nor macros'."""
    listed = output(
        "cargo", "tree", "--locked", "--package", crate, "--target", target,
        "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}",
    )  # fmt: skip
    rows = {tuple(line.split()[:2]) for line in listed.splitlines() if line.strip()}
    return sorted((name, version.lstrip("v")) for name, version in rows)


def licence_files(folder: Path) -> List[Path]:
    """Of the crate, and of the C that it brings along."""
    found = [path for path in folder.rglob("*") if path.name.lower().startswith(NAMES)]
    return sorted(path for path in found if path.is_file() and path.suffix != ".rs")


def licences(target: str, crate: str = "vae-fidelity") -> None:
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1"))
    own = set(metadata["workspace_members"])
    packages = {(row["name"], row["version"]): row for row in metadata["packages"]}
    texts: Dict[str, List[str]] = {}
    print("This binary of vae-fidelity holds code of Rust's standard library (MIT OR Apache-2.0) and of these")
    print("crates. Each crate's own files with its licence stand below.\n")
    for key in linked_crates(target, crate):
        row = packages[key]
        if row["id"] in own:
            continue
        name = " ".join(key)
        expression = row["license"]
        folder = Path(row["manifest_path"]).parent
        if not expression and not licence_files(folder):
            sys.exit(f"error: {name}: neither a licence in its manifest nor a file with one")
        print(f"  {name}: {expression or 'see below'}")
        for path in licence_files(folder):
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            texts.setdefault(text, []).append(f"{name}: {path.relative_to(folder)}")
    for text, places in texts.items():
        print("\n" + "=" * 80 + "\n" + "\n".join(places) + "\n" + "-" * 80 + "\n")
        print(text)


def contents(folder: Path) -> List[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def pack_tar(folder: Path, archive: Path, date: int) -> None:
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        for path in contents(folder):
            row = tarfile.TarInfo(str(path.relative_to(folder.parent)))
            row.size, row.mtime = path.stat().st_size, date
            row.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as file:
                tar.addfile(row, file)


def pack_zip(folder: Path, archive: Path, date: int) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in contents(folder):
            name = path.relative_to(folder.parent).as_posix()
            row = zipfile.ZipInfo(name, time.gmtime(date)[:6])
            row.compress_type, row.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            packed.writestr(row, path.read_bytes())


def address_fits(archive: Path, target: str) -> None:
    """`cargo binstall` has to look for the name that the archive has."""
    metadata = json.loads(output("cargo", "metadata", "--no-deps", "--format-version", "1"))
    (row,) = (row for row in metadata["packages"] if row["name"] == "vae-fidelity")
    settings = row["metadata"]["binstall"]
    settings = {**settings, **settings.get("overrides", {}).get(target, {})}
    suffix = {"txz": ".tar.xz", "zip": ".zip"}[settings["pkg-fmt"]]
    expected = settings["pkg-url"].rpartition("/")[2]
    values = (("name", row["name"]), ("version", row["version"]), ("target", target))
    for name, value in (*values, ("archive-suffix", suffix)):
        expected = expected.replace("{ %s }" % name, value)
    if archive.name != expected:
        sys.exit(f"error: {archive.name}: binstall's pkg-url in Cargo.toml says {expected}")


def pack(folder: Path, target: str) -> None:
    date = int(output("git", "show", "--no-patch", "--format=%ct", "HEAD"))
    windows = "windows" in target
    archive = folder.with_name(folder.name + (".zip" if windows else ".tar.xz"))
    (pack_zip if windows else pack_tar)(folder, archive, date)
    address_fits(archive, target)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    sums = archive.with_name(archive.name + ".sha256")
    sums.write_text(f"{digest}  {archive.name}\n", encoding="utf-8")
    print(f"{archive}: {archive.stat().st_size} bytes, SHA-256 {digest}")


def main() -> None:
    if len(sys.argv) in (3, 4) and sys.argv[1] == "licences":
        licences(*sys.argv[2:])
    elif len(sys.argv) == 4 and sys.argv[1] == "pack":
        pack(Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
