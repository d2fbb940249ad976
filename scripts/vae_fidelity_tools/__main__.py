"""Lists the programs of this package: each module that can be run, by what its first line says."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def programs():
    """(module, first line of its documentation) of each module that ends in a call of main()."""
    for path in sorted(PACKAGE.glob("*/*.py")):
        text = path.read_text("utf-8")
        if "\n    sys.exit(main())\n" in text or "\n    main()\n" in text:
            module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            yield module, ast.get_docstring(ast.parse(text)).splitlines()[0]


def main():
    found = list(programs())
    width = max(len(module) for module, _ in found)
    print("scripts/python.sh -m MODULE --help says more. MODULE is one of")
    for module, line in found:
        print(f"  {module:{width}}  {line}")


if __name__ == "__main__":
    main()
