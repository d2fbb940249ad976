#!/usr/bin/env python3
"""Plants every fault of tests/suite/diagnosis in photographs, and writes how many were found.

    scripts/python.sh -m vae_fidelity_tools.measurement.calibration            # the pictures that no rule was tuned on
    scripts/python.sh -m vae_fidelity_tools.measurement.calibration --tune     # those that rules are tuned on; writes nothing
    scripts/python.sh -m vae_fidelity_tools.measurement.calibration --cuts 2   # the first two cuts alone; writes nothing

The first writes tests/calibration.md and tests/calibration.json. All print a verdict, and exit with 1
where a bar is missed; each cause that is below its own is named, and every row that is why. It takes
hours: what a picture gave is kept beside the build, and a run that was interrupted goes on from there,
later commits or not, unless something changed that a picture's rows depend on.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT
from vae_fidelity_tools.measurement.calibration_pictures import TEST, TUNE, write_clean, write_nights, write_pictures

# Of the strong injections of each cause: first among the findings, and an error.
LEAST_FOUND = 0.95
# Of all strong injections: an error of another cause; one of two that cannot be told apart; and an error
# of another cause when no rule knows the planted one.
MOST_WRONG, MOST_ONE_OF_TWO, MOST_WRONG_WHEN_UNKNOWN = 0.005, 0.05, 0.02
LEAST_CLEAN = 3000


def built():
    """The suite's binary."""
    command = "cargo test --locked --test suite --no-run --message-format=json-render-diagnostics"
    lines = subprocess.run(command.split(), cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = [json.loads(line) for line in lines.splitlines()]
    suites = [of for of in messages if of.get("executable") and of["target"]["name"] == "suite"]
    return Path(suites[-1]["executable"])


# What a picture's rows depend on, beside the picture.
CRATES = ("autoencoders", "checkpoint", "core", "diagnosis", "files", "harness", "kernels", "pixels")
SUITE = ("diagnosis", "weights", "planted", "planted.rs", "libtorch", "libtorch.rs")
SOURCES = ("Cargo.lock", "golden/models", "tests/fixtures/models", *(f"crates/{name}" for name in CRATES))


def sources():
    """A hash of the compiler's version and every byte that decides a picture's rows."""
    listed = ["git", "ls-files", "-z", *SOURCES, *(f"tests/suite/{name}" for name in SUITE)]
    listed = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    digest = hashlib.sha256(subprocess.run(["rustc", "-V"], check=True, stdout=subprocess.PIPE).stdout)
    for name in sorted(listed.stdout.split(b"\0")[:-1]):
        path = ROOT / name.decode()
        digest.update(name + b"\0" + (path.read_bytes() if path.is_file() else b""))
    return digest.hexdigest()[:12]


def measured(picture, task, binary, kept):
    """What one picture gives; kept under the picture's and the sources' own bytes."""
    of = [picture.read_bytes(), json.dumps(task).encode()]
    matrix = kept / f"{picture.stem}-{hashlib.sha256(b''.join(of)).hexdigest()[:12]}.json"
    if not matrix.exists():
        out = matrix.with_suffix(".unfinished")
        task = {**task, "path": str(picture), "out": str(out)}
        # Threads of pictures this small only wait for each other; a quarter of the time went into pages of
        # buffers that glibc gave back after each layer.
        small = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 28), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
        environment = {**small, **os.environ, "VAE_FIDELITY_CALIBRATION": json.dumps(task)}
        command = [binary, "--ignored", "--exact", "diagnosis::calibration::one_picture", "--nocapture"]
        told = subprocess.run(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if told.returncode or not out.exists():
            raise SystemExit(f"{picture.stem} was not measured:\n{told.stdout[-4000:]}")
        out.rename(matrix)
    return json.loads(matrix.read_text())


def run(folder):
    """One matrix of all pictures in a folder."""
    binary = built()
    kept = binary.parent.parent / "calibration" / sources()
    kept.mkdir(parents=True, exist_ok=True)
    # Of its own, so that a build in the meantime changes nothing.
    own = kept / "suite"
    if not own.exists():
        shutil.copy(binary, own.with_suffix(".unfinished"))
        own.with_suffix(".unfinished").rename(own)
    paths = sorted(folder.iterdir())
    awkward = [path for path in paths if path.stem.startswith("clean-")]
    photographs = [path for path in paths if path not in awkward]
    tasks = {}
    for of in (photographs, awkward):
        for number, path in enumerate(of):
            # Every fourth with the trained VAEs' other forms too.
            task = {"name": path.stem, "forms": number % 4 == 0}
            tasks[path] = {**task, "photograph": number if of is photographs else None}
    matrices = {}
    started = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as workers:
        jobs = {workers.submit(measured, path, task, own, kept): path for path, task in tasks.items()}
        for job in as_completed(jobs):
            if job.exception():
                workers.shutdown(cancel_futures=True)
            matrices[jobs[job]] = job.result()
            minutes = (time.monotonic() - started) / 60
            print(f"{len(matrices)} of {len(tasks)} pictures, {minutes:.0f} min: {jobs[job].stem}", file=sys.stderr, flush=True)
    return together([matrices[path] for path in tasks])


def together(matrices):
    whole = {key: [row for matrix in matrices for row in matrix[key]] for key in ("planted", "clean")}
    planted = {(row["cause"], row["model"]) for row in whole["planted"] if row["meant"]}
    vanished = {tuple(due) for matrix in matrices for due in matrix["due"]} - planted
    if vanished:
        raise SystemExit(f"strong faults that planted nothing: {sorted(vanished)}")
    return {**whole, "consequences": matrices[0]["consequences"]}


def summarised(matrix):
    rows = defaultdict(list)
    for row in matrix["planted"]:
        rows[row["cause"], row["code"]].append(row)
    cases = defaultdict(list)
    for row in matrix["clean"]:
        cases[row["case"]].append(row)
    pictures = sorted({row["picture"] for row in matrix["planted"]})
    return {
        "pictures": pictures,
        "clean_pictures": sorted({row["picture"] for row in matrix["clean"]} - set(pictures)),
        "clean_models": sorted({row["model"] for row in matrix["clean"]}),
        "consequences": [dict(zip(("of", "code", "reason"), row)) for row in matrix["consequences"]],
        "causes": [cause(*of, rows[of]) for of in sorted(rows, key=lambda of: of[1])],
        "clean": [case(name, rows) for name, rows in cases.items()],
    }


def cause(name, code, rows):
    strong = [row for row in rows if row["strong"]]
    weak = [row for row in rows if not row["strong"]]
    # Nobody is to be blamed for what nobody sees either.
    meant = [row for row in rows if row["meant"]]
    unknown = [row["wrong_when_unknown"] for row in meant if row["wrong_when_unknown"] is not None]
    also = Counter(c for row in rows for c in row["codes"] if not c.startswith(f"{code} ") and "(info)" not in c)
    return {
        "cause": name,
        "code": code,
        "models": sorted({row["model"] for row in rows}),
        "strong": len(strong),
        "strong_found": sum(row["found"] for row in strong),
        "strong_first": sum(row["first"] for row in strong),
        "strong_errors": sum(row["error"] for row in strong),
        "meant": len(meant),
        "one_of_two": sum(row["one_of_two"] for row in meant),
        "wrong": sum(bool(row["wrong"]) for row in meant),
        "wrong_codes": counted(row["wrong"] for row in meant),
        "weak": len(weak),
        "weak_found": sum(row["found"] for row in weak),
        "other_codes": dict(sorted(also.items())),
        "unknown": len(unknown),
        "unknown_wrong": sum(bool(codes) for codes in unknown),
        "unknown_wrong_codes": counted(unknown),
    }


def case(name, rows):
    return {
        "case": name,
        "runs": len(rows),
        "with_errors": sum(bool(row["errors"]) for row in rows),
        "with_warnings": sum(bool(row["warnings"]) for row in rows),
        "errors": counted(row["errors"] for row in rows),
        "warnings": counted(row["warnings"] for row in rows),
    }


def counted(lists):
    """How often each code is in lists of `code: title`."""
    return dict(sorted(Counter(told.split(":")[0] for of in lists for told in of).items()))


def share(found, of):
    return f"{found} of {of} ({percent(found, of)})" if of else "-"


def percent(found, of):
    """Never rounded to what it does not reach: 0 % and 100 % are none and all."""
    exact = 100 * found / of
    return f"{exact:.0f} %" if exact in (0, 100) else f"{exact:.1f} %"


def listed(counts):
    return ", ".join(f"{code} {count}" for code, count in counts.items()) or "-"


class Figures:
    """Every bar, and what misses it."""

    def __init__(self, summary):
        strong = [row for row in summary["causes"] if row["strong"]]
        self.below = [row for row in strong if row["strong_found"] < LEAST_FOUND * row["strong"]]

        def total(key):
            return sum(row[key] for row in summary["causes"])

        injections, unknown = total("meant"), total("unknown")
        runs = sum(row["runs"] for row in summary["clean"])
        alarms = sum(row["with_errors"] for row in summary["clean"])
        wrong, wrong_unknown = total("wrong"), total("unknown_wrong")
        one_of_two = total("one_of_two")
        reached = len(strong) - len(self.below)
        # Name, bar, figure, and whether it is reached.
        self.rows = [
            (
                "causes found in their strong injections",
                f"each in at least {100 * LEAST_FOUND:.0f} %",
                f"{reached} of {len(strong)}; all injections together {share(total('strong_found'), total('strong'))}",
                not self.below,
            ),
            (
                "another cause as an error",
                f"under {100 * MOST_WRONG} % of all meant to be strong",
                share(wrong, injections),
                wrong < MOST_WRONG * injections,
            ),
            (
                "one of two that cannot be told apart",
                f"at most {100 * MOST_ONE_OF_TWO:.0f} %",
                share(one_of_two, injections),
                one_of_two <= MOST_ONE_OF_TWO * injections,
            ),
            (
                "another cause as an error, where no rule knows the planted one",
                f"at most {100 * MOST_WRONG_WHEN_UNKNOWN:.0f} %",
                share(wrong_unknown, unknown),
                0 < unknown and wrong_unknown <= MOST_WRONG_WHEN_UNKNOWN * unknown,
            ),
            ("clean runs", f"at least {LEAST_CLEAN:,}", f"{runs:,}", runs >= LEAST_CLEAN),
            ("clean runs with an error", "none", str(alarms), not alarms),
        ]


def markdown(summary):
    figures = Figures(summary)
    unseen = sum(row["meant"] - row["strong"] for row in summary["causes"])
    lines = [
        "# What is found of what was planted",
        "",
        "Written by `scripts/python.sh -m vae_fidelity_tools.measurement.calibration`: not edited by hand.",
        "Every fault of `tests/suite/diagnosis` is planted in photographs that no rule was tuned on",
        f"({len(summary['pictures'])} cuts of {len(TEST)} photographs). Strong is what a person sees: what is meant to be",
        "is fixed in those files, and where it brings what is seen no further off than 35 dB (a blur where nothing is",
        f"sharp) it counts as weak: {unseen} injections. What changes nothing (the order of channels of a grey picture)",
        "is not counted there. Found is a strong fault whose code is the first finding, infos aside,",
        "and an error; a warning will do for codes that are never more by themselves (`explain` says which), so",
        "errors have a column of their own. Of models whose weights are drawn by a recipe `passes-nothing` and",
        "`weights-untrained` are true, and do not count.",
        "",
        "| | bar | figure | |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {bar} | {figure} | {'reached' if ok else '**missed**'} |" for name, bar, figure, ok in figures.rows]
    if figures.below:
        lines += ["", "Causes below their bar:", ""]
        lines += [f"- {told(row)}" for row in figures.below]
    lines += [
        "",
        "## Cause by cause",
        "",
        "| planted | has to be found as | models | strong ones found | as an error | one of two | errors of another cause "
        "| weak ones found | also found |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in summary["causes"]:
        lines.append(
            f"| {row['cause']} | `{row['code']}` | {', '.join(row['models'])} "
            f"| {share(row['strong_found'], row['strong'])} | {row['strong_errors'] if row['strong'] else '-'} "
            f"| {row['one_of_two']} | {listed(row['wrong_codes'])} "
            f"| {share(row['weak_found'], row['weak'])} | {listed(row['other_codes'])} |"
        )
    lines += ["", "What follows from a fault is no other cause:", "", "| planted | what follows | why |", "|---|---|---|"]
    lines += [f"| `{row['of']}` | `{row['code']}` | {row['reason']} |" for row in summary["consequences"]]
    lines += [
        "",
        "## Faults that no rule knows",
        "",
        "The strong injections of each code again, by rules that do not know it, thresholds unchanged. An error that",
        "names no cause (`decoded-differs`, `latents-differ`, `preprocessed-differs`, `trace-diverges`, and for",
        "faults in weights what follows from those) is what should come of them; one of another cause is counted.",
        "",
        "| left out | runs | with an error of another cause | which |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{code}` | {runs} | {share(wrong, runs)} | {listed(codes)} |" for code, runs, wrong, codes in left_out(summary)]
    lines += [
        "",
        "## Clean runs",
        "",
        f"The photographs, and {len(summary['clean_pictures'])} pictures that are none "
        f"({', '.join(name.removeprefix('clean-') for name in summary['clean_pictures'])}); with the trained VAEs, and a part of "
        f"the pictures with each of their other forms ({'; '.join(summary['clean_models'])}).",
        "",
        "| clean | runs | with an error | with a warning |",
        "|---|---|---|---|",
    ]
    for row in summary["clean"]:
        errors, warnings = (f" ({listed(row[key])})" if row[key] else "" for key in ("errors", "warnings"))
        lines.append(f"| {row['case']} | {row['runs']} | {row['with_errors']}{errors} | {row['with_warnings']}{warnings} |")
    return "\n".join(lines) + "\n"


def left_out(summary):
    """For each code: itself, runs without it, those with an error of another cause, and of which."""
    codes = defaultdict(lambda: [0, 0, Counter()])
    for row in summary["causes"]:
        if row["unknown"]:
            of = codes[row["code"]]
            of[0] += row["unknown"]
            of[1] += row["unknown_wrong"]
            of[2].update(row["unknown_wrong_codes"])
    return [(code, runs, wrong, counts) for code, (runs, wrong, counts) in sorted(codes.items())]


def told(row):
    return (
        f"{row['cause']} (`{row['code']}`): found in {share(row['strong_found'], row['strong'])}; "
        f"first in {row['strong_first']}, an error in {row['strong_errors']}; also {listed(row['other_codes'])}"
    )


def verdict(summary):
    figures = Figures(summary)
    for name, bar, figure, ok in figures.rows:
        print(f"{'reached' if ok else 'MISSED '}  {name}: {figure} (bar: {bar})")
    for row in figures.below:
        print("below its bar:", told(row))
    for row in summary["causes"]:
        if row["wrong"]:
            print(f"wrong cause: {row['cause']}: {listed(row['wrong_codes'])}")
    for code, runs, wrong, codes in left_out(summary):
        if wrong:
            print(f"wrong cause where {code} is unknown: {share(wrong, runs)}: {listed(codes)}")
    return 0 if all(ok for *_, ok in figures.rows) else 1


def details(matrix):
    """Every row that is why a figure is not perfect."""
    for row in matrix["planted"]:
        where = (row["cause"], row["model"], row["picture"])
        if row["strong"] and not row["found"]:
            print("missed:", *where, row["codes"])
        if row["strong"] and row["wrong"]:
            print("wrong:", *where, row["wrong"])
        if row["strong"] and row["one_of_two"]:
            print("one of two:", *where, row["codes"])
        if row["wrong_when_unknown"]:
            print("wrong when unknown:", row["code"], *where, row["wrong_when_unknown"])
    for row in matrix["clean"]:
        if row["errors"]:
            print("clean:", row["case"], row["model"], row["picture"], row["errors"], row["warnings"])


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--tune", action="store_true", help="the pictures that rules are tuned on")
    parser.add_argument("--cuts", type=int, default=-1, help="no more than this many cuts of photographs")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        pictures.mkdir()
        write_pictures(pictures, TUNE if args.tune else TEST, args.cuts)
        if args.tune:
            write_nights(pictures)
        write_clean(pictures, 0 if args.tune else 1)
        matrix = run(pictures)
    summary = summarised(matrix)
    details(matrix)
    if not args.tune and args.cuts < 0:
        (ROOT / "tests/calibration.json").write_text(json.dumps(summary, indent=1) + "\n")
        (ROOT / "tests/calibration.md").write_text(markdown(summary))
    sys.exit(verdict(summary))


if __name__ == "__main__":
    main()
