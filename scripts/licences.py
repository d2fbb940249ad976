#!/usr/bin/env python3
"""Checks that every crate this one may be built with has a licence that MIT OR Apache-2.0 allows."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import List

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "IJG",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}


def allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met by ALLOWED; Cargo's old `/` means OR."""
    tokens: List[str] = re.findall(r"[()]|[^\s()/]+|/", expression)

    def either() -> bool:
        result = both()
        while tokens and tokens[0] in ("OR", "/"):
            tokens.pop(0)
            result = both() or result
        return result

    def both() -> bool:
        result = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = one() and result
        return result

    def one() -> bool:
        token = tokens.pop(0)
        if token == "(":
            result = either()
            tokens.pop(0)
            return result
        if tokens and tokens[0] == "WITH":  # an exception only ever allows more
            del tokens[:2]
        return token in ALLOWED

    return either() and not tokens


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    asked = subprocess.run(command, cwd=str(root), stdout=subprocess.PIPE)
    if asked.returncode != 0:
        print("error: cargo metadata failed (its reason is above)", file=sys.stderr)
        return 1
    packages = json.loads(asked.stdout)["packages"]
    refused = [p for p in packages if not p["license"] or not allowed(p["license"])]
    for package in refused:
        licence = package["license"] or f"none named, see {package['license_file']}"
        print(f"error: {package['name']} {package['version']}: licence {licence}", file=sys.stderr)
    if refused:
        print("  next: drop the crate, or add its licence to ALLOWED with a reason", file=sys.stderr)
        return 1
    print(f"{len(packages)} crates, all with allowed licences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
