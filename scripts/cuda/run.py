"""Runs the steps of a bundle one after another, each within a limit of its own, and writes what they said.

    ./run.sh [--out DIR] [--budget S] [STEP ...]

DIR/result.json is written anew after every step; DIR/log.txt has everything that was printed. What an
earlier run left of both gets its time into its name. A step that fails, hangs or dies is a line in both,
and the next one runs; Ctrl-C ends the step that runs and writes what there is. Exit codes: 0 every step
that could run did and passed; 1 one failed, or time ran out; 2 nothing could be run.
"""

import argparse
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import steps as bundle

TAIL = 1500  # characters of what a failed step printed
BUDGET_S = {True: 480, False: 1440}  # with a GPU, whose machine is there for minutes, and without
TRIAL = 3  # times the limit of a step, without a GPU
STOPPED = []  # the signal that ends the run, once it has come


class Done:
    """What a process printed, and how it ended: `returncode` is None where its time was up."""

    def __init__(self, returncode, stdout, stderr):
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr


def run(step, limit_s):
    """Runs the process and everything it starts; ends all of it when its time is up."""
    if step.folder:
        shutil.rmtree(step.folder, ignore_errors=True)
        step.folder.mkdir(parents=True)
    text = {"mode": "w+", "encoding": "utf-8", "errors": "replace"}
    with tempfile.TemporaryFile(**text) as stdout, tempfile.TemporaryFile(**text) as stderr:
        process = subprocess.Popen(
            list(map(str, step.argv)), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True,
            env=bundle.environment_of(step), cwd=bundle.BUNDLE, start_new_session=True,
        )  # fmt: skip
        returncode = waited_for(process, limit_s)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for file in (stdout, stderr):
            file.seek(0)
        return Done(returncode, stdout.read(), stderr.read())


def waited_for(process, limit_s):
    """Its exit code; None where its time is up, or the run is to end."""
    until = time.monotonic() + limit_s
    while True:
        try:
            return process.wait(min(0.2, max(0.0, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            if STOPPED or time.monotonic() >= until:
                return None


def outcome(step, limit_s, log):
    """The step's row of the result."""
    started = time.monotonic()
    row = {"step": step.name, "limit_s": limit_s}
    try:
        done = run(step, limit_s)
    except OSError as error:
        problem = f"{error.filename or step.argv[0]}: {error.strerror or error}"
        note(log, f"\n== {step.name}: {problem}\n")
        return {**row, "status": "failed", "problem": problem, "seconds": 0.0}
    row["seconds"] = round(time.monotonic() - started, 2)
    row["exit_code"] = done.returncode
    head = f"\n== {step.name}: exit code {done.returncode}, {row['seconds']} s\n$ {' '.join(map(str, step.argv))}\n"
    note(log, f"{head}{done.stdout}\n{done.stderr}\n")
    row["status"], problem = judge(step, done, limit_s, row)
    if problem:
        row["problem"] = problem
        row["said"] = (done.stderr.strip() or done.stdout.strip())[-TAIL:]
    return row


def judge(step, done, limit_s, row):
    """`passed`, `failed` or `not run`, and why; what the output says goes into the row either way."""
    found, unread, nothing_ran = None, "its output says nothing", None
    try:
        found = step.read(done)
    except bundle.NotRun as reason:
        nothing_ran = str(reason)
    except Exception as error:  # whatever a broken output does to its reader is that step's failure alone
        unread = f"its output could not be read: {type(error).__name__}: {error}"
    row["result"] = in_json(found)
    if done.returncode is None:
        return "failed", ended() or f"killed after its limit of {limit_s} s"
    if done.returncode < 0:
        return "failed", f"killed by signal {-done.returncode} ({signal.strsignal(-done.returncode)})"
    if done.returncode not in step.good:
        return "failed", f"exit code {done.returncode}"
    if nothing_ran:
        return "not run", nothing_ran
    if found is None:
        return "failed", unread
    if row["result"] != found:
        return "failed", "NaN or infinity among its figures"
    if step.measures:
        return "passed", None
    said = found if isinstance(found, dict) else {}
    if said.get("passed") is False or done.returncode != 0:
        return "failed", said.get("problem") or "it judged, and failed what it judged"
    return "passed", None


def in_json(value):
    """With NaN and infinity, for which JSON has no number, as words."""
    if isinstance(value, dict):
        return {key: in_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [in_json(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def note(log, text):
    """A full disk costs the log, and not the steps that are left."""
    try:
        log.write(text.encode(errors="replace"))
    except OSError as error:
        print(f"error: log.txt: {error.strerror}", file=sys.stderr)


def write(out, result):
    """Whole, or as it was; whether it could be."""
    new = out / "result.json.new"
    try:
        new.write_text(json.dumps(result, indent=1, allow_nan=False))
        new.rename(out / "result.json")
    except OSError as error:
        print(f"error: {out / 'result.json'}: {error.strerror}; it is as it was before", file=sys.stderr)
        return False
    return True


def open_out(out):
    """Makes the folder, keeps what an earlier run left in it, and opens the log."""
    out.mkdir(parents=True, exist_ok=True)
    earlier = [path for path in (out / "result.json", out / "log.txt") if path.is_file()]
    if earlier:
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(max(path.stat().st_mtime for path in earlier)))
        for path in earlier:
            path.rename(path.with_name(f"{path.stem}-{at}{path.suffix}"))
    return open(out / "log.txt", "wb", buffering=0)


def has_gpu(first):
    return bool((first.get("result") or {}).get("cuda"))


def ended():
    return f"{STOPPED[0]} ended the run" if STOPPED else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help="run these only [default: all]")
    parser.add_argument("--out", type=Path, default=bundle.BUNDLE / "results", help="folder for result.json and log.txt")
    budget = f"seconds for all steps together [default: {BUDGET_S[True]}, without a GPU {BUDGET_S[False]}]"
    parser.add_argument("--budget", type=int, metavar="S", help=budget)
    parser.add_argument("--limit", type=int, metavar="S", help="seconds that any one step may take at most")
    parser.add_argument("--list", action="store_true", help="name the steps, and run none")
    args = parser.parse_args()
    args.out = args.out.resolve()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, lambda which, _: STOPPED.append(signal.Signals(which).name))
    started = time.monotonic()
    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    first, printed = bundle.environment_step(), io.BytesIO()
    environment = outcome(first, first.limit_s, printed)
    gpu = has_gpu(environment)
    planned = list(bundle.steps(gpu, args.out))
    names = [step.name for step in planned]
    left_out = [] if gpu else bundle.gpu_only(args.out)
    if args.list:
        print("\n".join(names + [f"{name} (needs a GPU)" for name in left_out]))
        return 0
    unknown = [name for name in args.steps if name not in names + left_out]
    if unknown:
        print(f"error: no step is named {', '.join(unknown)}\n  next: ./run.sh --list names them", file=sys.stderr)
        return 2
    try:
        log = open_out(args.out)
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror}\n  next: --out DIR, a folder that can be written to", file=sys.stderr)
        return 2

    budget = BUDGET_S[gpu] if args.budget is None else args.budget
    rows = []
    result = {"schema_version": 1, "started": began, "passed": False, "steps": rows}
    chosen = [step for step in planned if not args.steps or step.name in (first.name, *args.steps)]
    end = None  # why the steps that are left do not run
    with log:
        note(log, printed.getvalue().decode())
        for step in chosen:
            left = budget - (time.monotonic() - started)
            if end is None:
                end = ended() or (f"the budget of {budget} s was spent" if left < 2 else None)
            if step.name == first.name:
                row = environment
            elif end:
                row = {"step": step.name, "status": "not run", "problem": end}
            else:
                row = timed_outcome(step, 1 if gpu else TRIAL, left, args.limit, log)
            rows.append(row)
            written = write(args.out, result)
            print(f"{row['status']:8} {row['step']} {row.get('seconds', 0):.1f} s {row.get('problem') or ''}", flush=True)
    rows += [{"step": name, "status": "not run", "problem": "needs a GPU"}
             for name in left_out if not args.steps or name in args.steps]  # fmt: skip
    code = close(result, time.monotonic() - started, first.name in args.steps, end)
    written = write(args.out, result)
    counts = result["counts"]
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['not run']} not run: {args.out / 'result.json'}")
    return code if written else max(code, 1)


def timed_outcome(step, factor, left, limit, log):
    """The step's row, within the shortest of its own limit, the one asked for, and what is left of the budget."""
    limits = [step.limit_s * factor, left] + ([] if limit is None else [limit])
    row = outcome(step, max(1, int(min(limits))), log)
    if row.get("exit_code", 0) is None and left <= min(limits) and not STOPPED:
        row["problem"] += ", which was what the budget had left"
    return row


def close(result, seconds, environment_asked, end):
    """Counts, and whether all of it passed; the exit code."""
    rows = result["steps"]
    counts = {status: sum(row["status"] == status for row in rows) for status in ("passed", "failed", "not run")}
    ran = [row for row in rows if row["status"] != "not run" and (environment_asked or row["step"] != "environment")]
    result |= {"passed": bool(ran) and counts["failed"] == 0 and end is None, "counts": counts,
               "seconds": round(seconds, 1)}  # fmt: skip
    return 0 if result["passed"] else 1 if ran or end or counts["failed"] else 2


if __name__ == "__main__":
    sys.exit(main())
