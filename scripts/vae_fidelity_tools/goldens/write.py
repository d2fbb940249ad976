"""Writes golden/cases/ and golden/manifest.json: the only writer of goldens.

    scripts/python.sh -m vae_fidelity_tools.goldens.write --gist debug_diffusion_vae.py
    scripts/python.sh -m vae_fidelity_tools.goldens.write --gist debug_diffusion_vae.py --check

and, for any diffusers AutoencoderKL and any pictures, a suite of the same layout in a new folder:

    scripts/python.sh -m vae_fidelity_tools.goldens.write --gist debug_diffusion_vae.py --repo MODEL --images a.png b.jpg --out DIR

It runs the gist's own functions in the gist's order and keeps what they pass along, then runs the
gist's command line on the same input and demands the same picture. `--check` writes nothing: it
recomputes, and compares bit for bit where the machine is of the kind that wrote the goldens, within
golden/tolerances.json elsewhere, where each step starts from the goldens, as cases are judged and tolerances
were measured. golden/README.md describes the files.
"""

import json
import platform
import shutil
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import torch

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import GOLDEN, IMAGES, PARTS
from vae_fidelity_tools.goldens import block_tensors, own_suite, reference_script, self_test
from vae_fidelity_tools.goldens.cases import CASES
from vae_fidelity_tools.goldens.classes import Kl, class_of
from vae_fidelity_tools.goldens.recipe import repository
from vae_fidelity_tools.goldens.store import (
    SCHEMA_VERSION,
    BelowOneStep,
    Degenerate,
    difference,
    manifest_json,
    manifest_row,
    read_tensor,
    refuse_degenerate,
    tensors_of,
    tolerance,
    write_case,
)  # fmt: skip
from vae_fidelity_tools.goldens.trace import difference as trace_difference
from vae_fidelity_tools.goldens.trace import to_json

THREADS = 2
# What may be another for some of the cases: the script and the versions may not.
MACHINE = ("cpu_capability", "processor")


def environment():
    """What the bits depend on."""
    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        fields = dict(map(str.strip, line.split(":", 1)) for line in open("/proc/cpuinfo") if ":" in line)
        processor = fields.get("model name", processor)
    return {
        "gist_sha256": reference_script.GIST_SHA256,
        "versions": {
            "python": platform.python_version(), "torch": version("torch"), "diffusers": version("diffusers"),
            "pillow": version("pillow"), "numpy": version("numpy"),
        },
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "processor": processor,
        "threads": THREADS,
    }  # fmt: skip


class Writer:
    """Runs cases with the gist's functions, and as the program that it is."""

    def __init__(self, gist_path, temporary):
        self.gist_path, self.temporary = gist_path, temporary
        self.gist = reference_script.load_gist(gist_path)
        self.models = reference_script.Models(self.gist, temporary)

    def run(self, case, start=None):
        """A case from its picture on; with `start`, as it is judged."""
        vae = self.models.of(case)
        if start:
            return reference_script.judged(self.gist, vae, IMAGES, case, start)
        run = reference_script.run(self.gist, vae, IMAGES, case)
        refuse_degenerate(case.name, run)
        return run

    def check_command_line(self, case, run):
        """Where the gist's command line can be asked for the case."""
        folder = repository(case.model_folder, self.temporary)
        if case.dtype != "f32" or case.tiling or case.batch or class_of(folder) is not Kl:
            return
        reference_script.check_command_line(self.gist_path, folder, IMAGES, case, run, self.temporary)


def replace(new, old):
    """Puts folder `new` in the place of `old`."""
    aside = old.with_name(f".{old.name}.old")
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def of_part(cases, part):
    return [case for case in cases if case.part == part]


def write(writer, cases, out):
    """The cases of each part into its own folder of `out`."""
    for part in ("", *PARTS):
        if chosen := of_part(cases, part):
            write_part(writer, chosen, of_part(CASES, part), out / part)


def write_part(writer, cases, all_cases, out):
    manifest_path = out / "manifest.json"
    before = json.loads(manifest_path.read_text()) if manifest_path.is_file() else {"cases": []}
    here = environment()
    rows = {row["name"]: row for row in before["cases"]}
    other = {}
    if len(cases) < len(all_cases) and before["cases"]:
        other = {key: value for key, value in here.items() if before.get(key) != value}
        if not set(other) <= set(MACHINE):
            sys.exit("the other cases were written with other versions; write all of them, without --only")
        here = {key: before[key] for key in here}
    (out / "cases").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".writing-") as staging:
        for number, case in enumerate(cases, 1):
            started = time.monotonic()
            run = writer.run(case)
            writer.check_command_line(case, run)
            folder = Path(staging) / case.name
            tensors = write_case(folder, run)
            blocks = block_tensors.write(folder, run.blocks) if case.blocks else None
            rows[case.name] = manifest_row(case, tensors, blocks, other or None)
            if case.trace:
                (folder / "trace.json").write_text(to_json(run.trace))
            print(f"[{number}/{len(cases)}] {case.name} {time.monotonic() - started:.1f} s", flush=True)
        for case in cases:
            replace(Path(staging) / case.name, out / "cases" / case.name)
    names = [case.name for case in all_cases if case.name in rows]
    for folder in (out / "cases").iterdir():
        if folder.name not in names:
            shutil.rmtree(folder)
    functions = {"functions": class_of(all_cases[0].golden / "models" / all_cases[0].model).functions} if all_cases[0].part else {}
    manifest = {"schema_version": SCHEMA_VERSION, **here, **functions, "tolerances": "tolerances.json",
                "cases": [rows[name] for name in names]}  # fmt: skip
    written = manifest_path.with_suffix(".new")
    written.write_text(manifest_json(manifest))
    written.rename(manifest_path)
    print(f"wrote {len(cases)} cases and {manifest_path}")


def check(writer, cases, out):
    """Recomputes; returns the differences."""
    parts = [(part, of_part(cases, part)) for part in ("", *PARTS)]
    return [line for part, chosen in parts if chosen for line in check_part(writer, chosen, of_part(CASES, part), out, part)]


def check_part(writer, cases, all_cases, suite, part):
    out = suite / part
    manifest = json.loads((out / "manifest.json").read_text())
    here, known = environment(), json.loads((suite / manifest["tolerances"]).read_text())
    elsewhere = {key: (manifest.get(key), value) for key, value in here.items() if manifest.get(key) != value}
    for key, (wrote, now) in elsewhere.items():
        print(f"{key} is {now}, the goldens were written with {wrote} unless they say otherwise: judging within tolerances")
    rows = {row["name"]: row for row in manifest["cases"]}
    found = [f"{name}: in the manifest, but no longer a case" for name in set(rows) - {case.name for case in all_cases}]
    for number, case in enumerate(cases, 1):
        row, folder = rows.get(case.name), out / "cases" / case.name
        written_on = manifest | (row or {}).get("written_on", {})
        same = all(written_on.get(key) == value for key, value in here.items())
        tolerances, agree = (None, "equal") if same else (known, "within tolerance")
        if row is None:
            wrong = ["not in the manifest"]
        else:
            run = writer.run(case, None if same else stored_start(folder, row["tensors"]))
            wrong = check_case(case, run, row, folder, tolerances)
        found += [f"{case.name}: {line}" for line in wrong]
        print(f"[{number}/{len(cases)}] {case.name} {'; '.join(wrong) or agree}", flush=True)
    return found


def stored_start(folder, tensors):
    """What the steps of a case start from, where it is judged within tolerances."""
    latents, noise = (tensors.get(name) and read_tensor(folder, name, tensors[name]) for name in ("latents", "noise"))
    return reference_script.Run(None, None, latents, None, None, noise)


def check_case(case, run, row, folder, tolerances):
    tensors = tensors_of(run)
    wrong = []
    if row != manifest_row(case, row["tensors"], row.get("blocks"), row.get("written_on")):
        wrong.append("the manifest's row describes another case")
    if set(row["tensors"]) != set(tensors):
        wrong.append(f"tensors {sorted(row['tensors'])}, expected {sorted(tensors)}")
    for name in set(tensors) & set(row["tensors"]):
        allowed = tolerances and tolerance(tolerances, name, case.model, case.dtype)
        wrong.append(difference(folder, name, row["tensors"][name], tensors[name], allowed))
    if case.trace:
        stored = (folder / "trace.json").read_text()
        if tolerances:
            allowed = tolerance(tolerances, "trace", case.model, case.dtype)
            wrong.append(trace_difference(json.loads(stored), run.trace, allowed))
        elif stored != to_json(run.trace):
            wrong.append("the trace differs")
    if case.blocks:
        allowed = tolerances and tolerance(tolerances, "trace", case.model)
        wrong.append(block_tensors.difference(folder, row["blocks"], run.blocks, allowed))
    return list(filter(None, wrong))


def write_own(parser, args):
    if not (args.repo and args.images) or args.out == GOLDEN or args.check or args.only:
        parser.error("goldens of one's own need --repo, --images and --out, and take neither --only nor --check")
    if (args.width is None) != (args.height is None):
        parser.error("--width and --height go together")
    torch.set_num_threads(THREADS)
    size = (args.width, args.height) if args.width else None
    try:
        own_suite.write(args.gist, args.repo, args.images, size, args.seed, args.out, environment())
    except reference_script.WrongGist as refusal:
        sys.exit(str(refusal))


def main():
    parser = arguments.parser(__doc__)
    arguments.add_gist(parser)
    parser.add_argument("--only", nargs="+", metavar="CASE", help="these cases; 'builtin-*' and the like work")
    parser.add_argument("--out", type=Path, default=GOLDEN, help="folder of manifest.json and cases/ (default: golden)")
    parser.add_argument("--check", action="store_true", help="recompute and compare, write nothing; exit 1 on a difference")
    own = parser.add_argument_group("goldens of one's own")
    own.add_argument("--repo", type=Path, metavar="MODEL", help="folder of a diffusers AutoencoderKL, or of a pipeline with vae/")
    own.add_argument("--images", type=Path, nargs="+", metavar="FILE", help="pictures, each a case by mode and one by a draw")
    own.add_argument("--width", type=int, help="encode at this width, with --height (default: each picture's own, rounded down)")
    own.add_argument("--height", type=int)
    own.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    args = parser.parse_args()
    if args.repo or args.images:
        return write_own(parser, args)
    cases = [case for case in CASES if not args.only or any(Path(case.name).match(name) for name in args.only)]
    if not cases:
        sys.exit(f"no case is named {' or '.join(args.only)}; scripts/vae_fidelity_tools/goldens/cases.py lists them")
    torch.set_num_threads(THREADS)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            writer = Writer(args.gist, temporary)
            if not args.check:
                return write(writer, cases, args.out)
            self_test.run(args.gist)
            found = check(writer, cases, args.out)
    except (reference_script.WrongGist, Degenerate, BelowOneStep) as refusal:
        sys.exit(str(refusal))
    print("\n".join(found) or f"all {len(cases)} cases agree")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
