"""Walls that the compiler does not check: no circle between the files of a crate, and where a crate says
that its modules stand in order, no module uses one below it.

    scripts/python.sh -m vae_fidelity_tools.conformance.structure

Between crates Cargo refuses circles by itself.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# One interpreter in two files: what a global may be, and the machine that asks for it.
ALLOWED = {("crates/checkpoint/src", frozenset({"pickle/globals.rs", "pickle/machine.rs"}))}
IN_ORDER = "a module uses only those above it"

Module = tuple[str, ...]


def without_comments(text: str) -> str:
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r"pub\(in [^)]*\)", "pub", text)


def paths_of(tree: str) -> list[str]:
    """Every path of a `use` tree; a renamed one ends in ` as NAME`."""
    tree = tree.strip()
    match = re.match(r"^(.*?)\{(.*)\}$", tree, re.DOTALL)
    if not match:
        return [re.sub(r"\s+as\s+", " as ", tree)]
    paths, depth, current = [], 0, ""
    for character in match[2] + ",":
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            paths += [match[1] + path for path in paths_of(current)] if current.strip() else []
            current = ""
        else:
            current += character
    return paths


class Crate:
    """The files of one crate, and which uses which."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.files = {self.module(file): file for file in sorted(source.rglob("*.rs")) if file.name != "main.rs"}
        self.texts = {module: without_comments(file.read_text()) for module, file in self.files.items()}
        self.exports = {}
        for module, text in self.texts.items():
            for tree in re.findall(r"\bpub(?:\([^)]*\))? use ([^;]+);", text):
                for path in paths_of(tree):
                    path, _, alias = path.partition(" as ")
                    target = self.absolute(module, path)
                    self.exports[module, alias or path.rsplit("::", 1)[-1]] = target
        self.uses = {module: self.used(module, text) for module, text in self.texts.items()}

    def module(self, file: Path) -> Module:
        parts = file.relative_to(self.source).with_suffix("").parts
        return parts[:-1] if parts[-1] in ("mod", "lib") else parts

    def absolute(self, module: Module, path: str) -> Module | None:
        """`path` from the crate's root; None for what another crate has."""
        names = [name for name in path.split("::") if name]
        if names[0] == "crate":
            return tuple(names[1:])
        if names[0] in ("self", "super"):
            while names and names[0] in ("self", "super"):
                module = module[:-1] if names.pop(0) == "super" else module
            return module + tuple(names)
        return module + tuple(names) if module + (names[0],) in self.files else None

    def owner(self, path: Module | None) -> Module | None:
        """The module whose file defines what `path` names, through re-exports."""
        followed = set()
        while path is not None:
            module = next(path[:end] for end in range(len(path), -1, -1) if path[:end] in self.files)
            name = path[len(module) :][:1]
            export = (module, *name)
            if not name or export not in self.exports or export in followed:
                return module
            followed.add(export)
            target = self.exports[export]
            path = None if target is None else target + path[len(module) + 1 :]
        return None

    def used(self, module: Module, text: str) -> set[Module]:
        text = re.sub(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*mod \w+ \{.*\n\}", "", text, flags=re.DOTALL)
        paths = [path for tree in re.findall(r"\buse ([^;]+);", text) for path in paths_of(tree)]
        body = re.sub(r"\buse [^;]+;", "", text)
        paths += re.findall(r"\b(?:crate|super)(?:::\w+)+", body)
        # A child module by its bare name: `child::f()`.
        paths += re.findall(r"(?<![\w:])[a-z]\w*(?:::\w+)+", body)
        owners = {self.owner(self.absolute(module, path.partition(" as ")[0])) for path in paths}
        return owners - {None, module}

    def name(self, module: Module) -> str:
        return self.files[module].relative_to(self.source).as_posix()

    def circles(self) -> list[frozenset[str]]:
        """Sets of files, each of which leads to every other (Tarjan)."""
        index, low, stack, found = {}, {}, [], []

        def visit(module: Module) -> None:
            index[module] = low[module] = len(index)
            stack.append(module)
            for other in sorted(self.uses[module]):
                if other not in index:
                    visit(other)
                    low[module] = min(low[module], low[other])
                elif other in stack:
                    low[module] = min(low[module], index[other])
            if low[module] == index[module]:
                circle = stack[stack.index(module) :]
                del stack[stack.index(module) :]
                if len(circle) > 1:
                    found.append(frozenset(map(self.name, circle)))

        for module in self.files:
            if module not in index:
                visit(module)
        return found

    def upward(self) -> list[str]:
        """Uses of a module that stands below, in crates that say their order."""
        if IN_ORDER not in self.files[()].read_text():
            return []
        order = re.findall(r"^\s*(?:pub )?mod (\w+);", self.texts[()], re.MULTILINE)
        faults = []
        for module, others in self.uses.items():
            for other in others:
                if module and other and order.index(module[0]) < order.index(other[0]):
                    faults.append(f"{self.name(module)} uses {self.name(other)}, which stands below it in lib.rs")
        return faults


def faults_of(root: Path) -> list[str]:
    faults = []
    for source in [root / "src", *sorted(root.glob("crates/*/src"))]:
        if not (source / "lib.rs").is_file():
            continue
        crate, place = Crate(source), source.relative_to(root).as_posix()
        for circle in crate.circles():
            if (place, circle) not in ALLOWED:
                faults.append(f"{place}: a circle of {', '.join(sorted(circle))}")
        faults += [f"{place}: {fault}" for fault in crate.upward()]
    return faults


def self_test() -> None:
    """A crate with each fault is found out, and one without passes."""
    crates = {
        "none": ({"lib.rs": "mod a;\nmod b;\npub use a::A;", "a.rs": "pub struct A;", "b.rs": "use super::A;"}, 0),
        "circle": ({"lib.rs": "mod a;\nmod b;", "a.rs": "use super::b::B;", "b.rs": "use crate::a::A;"}, 1),
        "through a re-export": (
            {"lib.rs": "mod a;\nmod b;\npub use b::B;", "a.rs": "use crate::B;", "b.rs": "fn f() { super::a::g() }"},
            1,
        ),
        "with lib.rs": ({"lib.rs": "mod a;\nuse a::A;\npub struct L;", "a.rs": "use super::L;"}, 1),
        "upward": ({"lib.rs": f"// {IN_ORDER}\nmod a;\nmod b;", "a.rs": "use super::b::B;", "b.rs": ""}, 1),
        "a child by its bare name": (
            {"a.rs": "pub mod b;\nfn f() { b::g() }", "a/b.rs": "use super::f;", "lib.rs": "mod a;"},
            1,
        ),
        "in tests": (
            {
                "lib.rs": "mod a;\nmod b;",
                "a.rs": "#[cfg(test)]\nmod tests {\n    use crate::b::B;\n}\n",
                "b.rs": "use super::a::A;",
            },
            0,
        ),
    }
    for name, (files, expected) in crates.items():
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "src"
            source.mkdir()
            for file, text in files.items():
                (source / file).parent.mkdir(exist_ok=True)
                (source / file).write_text(text)
            faults = faults_of(Path(folder))
            assert len(faults) == expected, f"{name}: expected {expected} faults, found {faults}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    self_test()
    faults = faults_of(ROOT)
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    if faults:
        sys.exit("next: move what both need into a file of its own")
    print("no circle between files, and no module uses one below it")


if __name__ == "__main__":
    main()
