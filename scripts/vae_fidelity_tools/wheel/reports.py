"""Writes the Python package's report classes from the JSON Schema of what the command prints.

scripts/python.sh -m vae_fidelity_tools.wheel.reports            writes vae_fidelity/reports.py
scripts/python.sh -m vae_fidelity_tools.wheel.reports --check    writes nothing; exit code 1 if it is stale
"""

import argparse
import json
import keyword
import re
import subprocess
import sys
import textwrap

from vae_fidelity_tools.checkout import ROOT

SCHEMA = ROOT / "docs/src/reference/schema.json"
OUT = ROOT / "crates/python/python/vae_fidelity/reports.py"
# What the package's functions return; the classes that these are made of come with them.
REPORTS = (
    "CheckReport",
    "DecodeReport",
    "ProbeReport",
    "InspectReport",
    "CompareReport",
    "ExplainReport",
    "TraceReport",
    "SuiteReport",
    "EvaluationReport",
    "GapReport",
)
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
COLUMNS = 116

HEAD = '''"""What the functions of this package report: the JSON of the command `vae-fidelity`, as classes.

Generated from docs/src/reference/schema.json by vae_fidelity_tools.wheel.reports. Fields and values may be
added; none is renamed or removed. A field that the JSON leaves out is `None`; one whose name is a keyword of
Python ends in `_`, and a dash in a name is a `_`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
'''


def wrapped(text, indent):
    """`text` as a docstring."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)  # Rust
    text = re.sub(r"\[(`[^`]*`)\](\([^)]*\))?", r"\1", text)  # links of rustdoc
    text = " ".join(text.replace("\\", "\\\\").split())
    lines = textwrap.wrap(f'"""{text}"""', COLUMNS - len(indent), break_long_words=False, break_on_hyphens=False)
    return "\n".join(indent + line for line in lines)


def camel(words):
    return "".join(part.capitalize() for part in words.replace("-", "_").split("_"))


class Classes:
    """The classes of a schema, in the order in which they are needed."""

    def __init__(self, schema):
        self.definitions = schema["$defs"]
        self.written = {}

    def of(self, schema):
        """The annotation for `schema`."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            self.define(name)
            return name
        if "const" in schema:
            return f"Literal[{json.dumps(schema['const'])}]"
        if "anyOf" in schema:
            return " | ".join(dict.fromkeys(self.of(part) for part in schema["anyOf"]))
        kind = schema.get("type")
        if isinstance(kind, list):
            return " | ".join(self.of({**schema, "type": each}) for each in kind)
        if kind == "array":
            if "prefixItems" in schema:
                return f"tuple[{', '.join(map(self.of, schema['prefixItems']))}]"
            item = self.of(schema["items"])
            count = schema.get("minItems")
            if count is not None and count == schema.get("maxItems"):
                return f"tuple[{', '.join([item] * count)}]"
            return f"list[{item}]"
        if kind == "object":
            values = schema.get("additionalProperties", True)
            if "properties" in schema:
                sys.exit(f"a class without a name: {json.dumps(schema)[:200]}")
            return "dict[str, Any]" if values is True else f"dict[str, {self.of(values)}]"
        return PLAIN[kind] if kind else "Any"

    def define(self, name):
        if name in self.written:
            return
        self.written[name] = None  # a place, also for one that holds itself
        schema = self.definitions[name]
        variants = schema.get("oneOf")
        if variants and all("const" in variant for variant in variants):
            values = ", ".join(json.dumps(variant["const"]) for variant in variants)
            text = self.alias(name, f"Literal[{values}]", schema)
        elif "enum" in schema:
            text = self.alias(name, f"Literal[{', '.join(map(json.dumps, schema['enum']))}]", schema)
        elif variants:
            text = self.alias(name, self.union(self.variant(name, schema, variant) for variant in variants), schema)
        elif "anyOf" in schema:
            text = self.alias(name, self.union(self.of(part) for part in schema["anyOf"]), schema)
        elif "properties" in schema:
            text = self.record(name, schema.get("description", ""), schema)
        else:
            text = self.alias(name, self.of(schema), schema)
        del self.written[name]  # behind what it needs
        self.written[name] = text

    def variant(self, name, schema, variant):
        """One of several forms: a class of its own, with what all forms have."""
        if "properties" not in variant:
            return self.of(variant)
        tags = [field["const"] for field in variant["properties"].values() if "const" in field]
        own = name + camel(tags[0] if tags else next(iter(variant["properties"])))
        fields = {**schema.get("properties", {}), **variant["properties"]}
        required = [*schema.get("required", []), *variant.get("required", [])]
        about = variant.get("description") or schema.get("description", "")
        for field, inner in fields.items():
            if inner.get("type") == "object" and "properties" in inner:
                nested = own + camel(field)
                self.written[nested] = self.record(nested, inner.get("description", about), inner)
                fields = {**fields, field: {"$ref": f"#/$defs/{nested}"}}
        self.written[own] = self.record(own, about, {"properties": fields, "required": required})
        return own

    @staticmethod
    def union(parts):
        return " | ".join(parts)

    @staticmethod
    def alias(name, annotation, schema):
        line = f"{name} = {annotation}"
        return f"{line}\n{wrapped(schema.get('description') or name, '')}\n"

    def record(self, name, description, schema):
        lines = ["@dataclass(frozen=True, kw_only=True)", f"class {name}:", wrapped(description or name, "    "), ""]
        for field, inner in schema["properties"].items():
            annotation = self.of(inner)
            safe = f"{field}_" if keyword.iskeyword(field) else field.replace("-", "_")
            if field not in schema.get("required", []):
                optional = annotation if annotation.split(" | ")[-1] == "None" else f"{annotation} | None"
                lines.append(f"    {safe}: {optional} = None")
            else:
                lines.append(f"    {safe}: {annotation}")
            if inner.get("description"):
                lines.append(wrapped(inner["description"], "    "))
        return "\n".join(lines) + "\n"

    def text(self):
        text = HEAD + "\n" + "\n\n".join(self.written.values())
        ruff = [sys.executable, "-m", "ruff", "format", "--no-cache", "--config", ROOT / "scripts/ruff.toml", "-"]
        return subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    classes = Classes(json.loads(SCHEMA.read_text()))
    for name in REPORTS:
        classes.define(name)
    text = classes.text()
    if not check:
        OUT.write_text(text)
        return print(OUT.relative_to(ROOT))
    if not OUT.is_file() or OUT.read_text() != text:
        sys.exit(f"{OUT.relative_to(ROOT)} is stale\n  next: scripts/python.sh -m vae_fidelity_tools.wheel.reports")
    return print(f"{OUT.relative_to(ROOT)}: {len(classes.written)} classes, as the schema has them")


if __name__ == "__main__":
    main()
