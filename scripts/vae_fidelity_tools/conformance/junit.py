"""Validates what `--junit` writes against the schema of Jenkins' xunit plugin, with libxml2.

    scripts/python.sh -m vae_fidelity_tools.conformance.junit target/debug/vae-fidelity

Runs each command that has the flag, with a pass, a fail, and pictures that cannot be judged or have names
that XML cannot hold. Shows first that the schema refuses files with a mistake.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from lxml import etree
from PIL import Image

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT

SCHEMA = ROOT / "tests/fixtures/schemas/junit-10.xsd"
PICTURE = ROOT / "golden/images/astronaut.png"
SIZE = ("--width=64", "--height=64")
HOSTILE = ("a<&>\"'.png", "b\x1b[31m\n\x85.png", "c\uffff\u202e.png")
# How each is asked for, and how many tests, failures and errors its file has.
RUNS = {
    "a pass": (("check", "photo.png", *SIZE), (1, 0, 0)),
    "a fail": (("check", "photo.png", *SIZE, "--min-psnr=99"), (1, 1, 0)),
    "a finding": (("check", "photo.png", *SIZE, "--latents=z.safetensors", "--latents-scale=raw"), (1, 1, 0)),
    "several": (("check", "photo.png", "gone.png", *HOSTILE, *SIZE, "--out-dir=out"), (5, 0, 1)),
    "no picture": (("check", "gone.png"), (1, 0, 1)),
    "no checkpoint": (("check", "photo.png", "--repo=broken.safetensors"), (1, 0, 1)),
    "inspect": (("inspect", "builtin"), (1, 0, 0)),
    "inspect, a fail": (("inspect", "broken.safetensors"), (1, 1, 0)),
    "inspect of two": (("inspect", "builtin", "builtin"), (1, 0, 0)),
    "decode": (("decode", "z.safetensors"), (1, 0, 0)),
    "probe": (("probe", "--size=128"), (1, 0, 0)),
    "trace": (("trace", "photo.png", *SIZE), (1, 0, 0)),
    "compare": (("compare", "photo.png", "photo.png"), (1, 0, 0)),
    "compare, not judged": (("compare", "photo.png", "gone.png"), (1, 0, 1)),
}
# What is changed in a file that is right; each must be refused.
MISTAKES = {
    "a count that is missing": lambda root: root[0].attrib.pop("failures"),
    "a time in words": lambda root: root[0].set("time", "2 s"),
    "an attribute of other writers": lambda root: root.set("skipped", "0"),
    "a testcase without a name": lambda root: root[0].find("testcase").attrib.pop("name"),
    "properties of a testcase": lambda root: root[0].find("testcase").append(root[0].find("properties")),
    "a property without a value": lambda root: root[0].find("properties")[0].attrib.pop("value"),
}


def counts(root):
    """As elements, which the suite has to say too."""
    found = tuple(len(root.findall(f".//{name}")) for name in ("testcase", "failure", "error"))
    for suite in (root, root[0]):
        said = tuple(int(suite.get(name)) for name in ("tests", "failures", "errors"))
        if said != found:
            return said
    return found


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("binary", type=Path, help="the vae-fidelity to check")
    binary = parser.parse_args().binary.resolve()
    schema, wrong = etree.XMLSchema(etree.parse(SCHEMA)), []
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "run.xml")

        def run(*command):
            return subprocess.run([binary, *command, "--quiet"], cwd=folder, capture_output=True, text=True)

        picture = Image.open(PICTURE).resize((64, 64))
        for name in ("photo.png", *HOSTILE):
            picture.save(Path(folder, name), format="png")
        Path(folder, "broken.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
        run("check", "photo.png", *SIZE, "--save-latents=z.safetensors")
        for name, (command, expected) in RUNS.items():
            written.unlink(missing_ok=True)
            ran = run(*command, f"--junit={written}")
            try:
                root = etree.parse(written).getroot()
            except (OSError, etree.XMLSyntaxError) as error:
                wrong.append(f"{name}: {error}\n{ran.stderr}")
                continue
            if not schema.validate(root):
                wrong.append(f"{name}: {schema.error_log}")
            if counts(root) != expected:
                wrong.append(f"{name}: expected {expected} tests, failures and errors, found {counts(root)}\n{ran.stderr}")
        run(*RUNS["several"][0], f"--junit={written}")
        for name, mistake in MISTAKES.items():
            root = etree.parse(written).getroot()
            mistake(root)
            if schema.validate(root):
                wrong.append(f"the schema does not refuse {name}")
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    print(f"{len(RUNS)} files validated, {len(MISTAKES)} planted mistakes, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
