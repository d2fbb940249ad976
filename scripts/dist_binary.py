#!/usr/bin/env python3
"""Says whether a Linux binary may be released: its size, its libraries, the glibc that it needs.

    dist_binary.py BINARY [--glibc 2.28] [--max-bytes 16000000]

Run by scripts/dist.sh with pyelftools at hand. Exit code 1: not to be released.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Iterator, List, Tuple

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

# Of glibc itself, so they are wherever it is.
LIBRARIES = re.compile(r"(libc|libm|libdl|libpthread|librt|libutil|ld-linux[-\w]*)\.so\.\d+")

Version = Tuple[int, ...]


def version(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))


def needed_versions(elf: ELFFile) -> Iterator[Tuple[str, str]]:
    """(library, symbol version) of everything that the loader looks for at start."""
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for library, versions in section.iter_versions():
                for needed in versions:
                    yield library.name, needed.name


def faults(path: Path, glibc: str, max_bytes: int) -> Iterator[str]:
    size = path.stat().st_size
    if size > max_bytes:
        yield f"{size} bytes, at most {max_bytes} are allowed"
    with path.open("rb") as file:
        elf = ELFFile(file)
        if elf.get_section_by_name(".symtab") is not None:
            yield "it has a symbol table: expected a stripped binary"
        dynamic = elf.get_section_by_name(".dynamic")
        if not isinstance(dynamic, DynamicSection):
            yield "it has no dynamic section: expected one that is linked to glibc"
            return
        for tag in dynamic.iter_tags("DT_NEEDED"):
            if not LIBRARIES.fullmatch(tag.needed):
                yield f"it needs {tag.needed}, which is no part of glibc"
        newest: Version = ()
        for library, needed in sorted(needed_versions(elf)):
            match = re.fullmatch(r"GLIBC_([\d.]+)", needed)
            if match is None:
                yield f"it needs {needed} of {library}: expected versions GLIBC_N"
                continue
            newest = max(newest, version(match[1]))
            if version(match[1]) > version(glibc):
                yield f"it needs {needed} of {library}: {glibc} is the newest allowed"
        if not newest:
            yield "it needs no version of glibc: expected one that is linked to glibc"
        print(f"{path.name}: {size} bytes, needs glibc {'.'.join(map(str, newest)) or 'unknown'}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--glibc", default="2.28")
    parser.add_argument("--max-bytes", type=int, default=16_000_000)
    options = parser.parse_args()
    found: List[str] = list(faults(options.binary, options.glibc, options.max_bytes))
    for fault in found:
        print(f"error: {options.binary}: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
