"""Runs the steps of a bundle one after another, each within a limit of its own, and writes what they said.

    ./run.sh [--out DIR] [--budget S] [STEP ...]

DIR/result.json is written anew after every step; DIR/log.txt has everything that was printed. A step
that fails, hangs or dies is a line in both, and the next one runs. Exit codes: 0 every step that could
run did and passed; 1 one failed; 2 nothing could be run.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import steps as bundle

TAIL = 1500  # characters of what a failed step printed


class Killed(Exception):
    """The step's time was up."""


class Done:
    """What a process printed, and how it ended: `returncode` is None where its time was up."""

    def __init__(self, returncode, stdout, stderr):
        self.returncode, self.stdout, self.stderr = returncode, stdout, stderr


def run(step, limit_s):
    """Runs the process and everything it starts; ends all of it when its time is up."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = subprocess.Popen(
            list(map(str, step.argv)), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, text=True,
            env=bundle.environment_of(step), cwd=bundle.BUNDLE, start_new_session=True,
        )  # fmt: skip
        try:
            returncode = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            returncode = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for file in (stdout, stderr):
            file.seek(0)
        return Done(returncode, stdout.read(), stderr.read())


def outcome(step, limit_s, log):
    """The step's row of the result."""
    started = time.monotonic()
    row = {"step": step.name, "limit_s": limit_s}
    try:
        done = run(step, limit_s)
    except OSError as error:
        return {**row, "status": "failed", "problem": f"{step.argv[0]}: {error.strerror or error}", "seconds": 0.0}
    row["seconds"] = round(time.monotonic() - started, 2)
    row["exit_code"] = done.returncode
    log.write(f"\n== {step.name}: exit code {done.returncode}, {row['seconds']} s\n$ {' '.join(map(str, step.argv))}\n")
    log.write(f"{done.stdout}\n{done.stderr}\n")
    log.flush()
    row["status"], problem = judge(step, done, limit_s, row)
    if problem:
        row["problem"] = problem
        row["said"] = (done.stderr.strip() or done.stdout.strip())[-TAIL:]
    return row


def judge(step, done, limit_s, row):
    """`passed` or `failed`, and why; what the output says goes into the row either way."""
    try:
        row["result"] = step.read(done)
    except Exception as error:  # whatever a broken output does to its reader is that step's failure alone
        row["result"] = None
        unread = f"its output could not be read: {type(error).__name__}: {error}"
    if done.returncode is None:
        return "failed", f"killed after its limit of {limit_s} s"
    if done.returncode < 0:
        return "failed", f"killed by signal {signal.Signals(-done.returncode).name}"
    if done.returncode not in step.good:
        return "failed", f"exit code {done.returncode}"
    if row["result"] is None:
        return "failed", unread
    if step.measures:
        return "passed", None
    said_failed = isinstance(row["result"], dict) and row["result"].get("passed") is False
    if said_failed or done.returncode != 0:
        return "failed", "it judged, and failed what it judged"
    return "passed", None


def write(out, result):
    """Whole, or as it was."""
    new = out / "result.json.new"
    new.write_text(json.dumps(result, indent=1))
    new.rename(out / "result.json")


def has_gpu(first):
    return bool((first.get("result") or {}).get("cuda"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help="run these only [default: all]")
    parser.add_argument("--out", type=Path, default=bundle.BUNDLE / "results", help="folder for result.json and log.txt")
    parser.add_argument("--budget", type=int, default=480, metavar="S", help="seconds for all steps together (480)")
    parser.add_argument("--limit", type=int, metavar="S", help="seconds that any one step may take at most")
    parser.add_argument("--list", action="store_true", help="name the steps, and run none")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    args.out = args.out.resolve()
    started = time.monotonic()
    result = {"schema_version": 1, "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "passed": False, "steps": []}

    with open(args.out / "log.txt", "w") as log:
        first = bundle.environment_step()
        environment = outcome(first, first.limit_s, log)
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
        for step in planned:
            if args.steps and step.name not in args.steps and step.name != first.name:
                continue
            left = args.budget - (time.monotonic() - started)
            limit_s = max(1, int(min(step.limit_s, left, args.limit or step.limit_s)))
            if step.name == first.name:
                row = environment
            elif left < 2:
                row = {"step": step.name, "status": "not run", "problem": f"the budget of {args.budget} s was spent"}
            else:
                row = outcome(step, limit_s, log)
            result["steps"].append(row)
            write(args.out, result)
            print(f"{row['status']:8} {row['step']} {row.get('seconds', 0):.1f} s {row.get('problem', '')}", flush=True)
        for name in left_out:
            if not args.steps or name in args.steps:
                result["steps"].append({"step": name, "status": "not run", "problem": "needs a GPU"})
    statuses = [row["status"] for row in result["steps"]]
    counts = {status: statuses.count(status) for status in ("passed", "failed", "not run")}
    result |= {"passed": counts["failed"] == 0 and counts["passed"] > 1, "counts": counts,
               "seconds": round(time.monotonic() - started, 1)}  # fmt: skip
    write(args.out, result)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['not run']} not run: {args.out / 'result.json'}")
    return 2 if counts["passed"] <= 1 and counts["failed"] <= 1 and not args.steps else int(not result["passed"])


if __name__ == "__main__":
    sys.exit(main())
