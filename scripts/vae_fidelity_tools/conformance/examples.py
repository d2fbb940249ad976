"""The crate's examples: each answers every line of standard input, one job in JSON, with a line of JSON."""

import json
import subprocess
import sys

from vae_fidelity_tools import checkout


def build(*names):
    """{name: path} of the built examples."""
    asked = [word for name in names for word in ("--example", name)]
    built = checkout.executables("build", "--quiet", "--locked", *asked)
    return {name: built[name] for name in names}


def add_dump(parser, name):
    parser.add_argument("--dump", nargs="+", metavar="COMMAND", help=f"in place of the example {name}, built with cargo")


def ask(command, jobs):
    """The answers to the jobs, in their order."""
    lines = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, cwd=checkout.ROOT)
    if done.returncode:
        sys.exit(f"{command[0]} stopped with status {done.returncode}")
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(jobs), f"{len(answers)} answers to {len(jobs)} jobs"
    return answers
