"""Runs hostile command lines, drawn by a seed, and counts aborts, hangs and lost files.

    scripts/fuzz_commands.sh [RUNS [SEED]]

Each run gets a folder of its own with pictures, models and earlier results, files that have no end, names
that act on a terminal, limits of memory and of the size of files, and flags at random. It has to end within
20 seconds with exit code 0, 1 or 2, without a word of a panic, and may change earlier results and new files
only. Any Python 3.8 runs it, without packages.
"""

import hashlib
import os
import pathlib
import random
import re
import resource
import subprocess
import sys
import tempfile
import time

from vae_fidelity_tools.hostile.command_line import OUTPUT_FLAGS, command_line
from vae_fidelity_tools.hostile.folder import EARLIER, evaluated, prepare

PATIENCE = 20
FORBIDDEN = re.compile(r"panicked|internal error|stack backtrace|memory allocation of|c10::|core dumped|overflowed its stack")


def contents(folder):
    """Hashes of all ordinary files but sparse ones, by name."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            whole = hashlib.sha256(path.read_bytes()).hexdigest() if status.st_size < 1 << 24 else status.st_size
            found[os.fsencode(path.relative_to(folder))] = whole
    return found


def limits(draw):
    """What the process is not given, as a function that sets it, and a word for it."""
    which = draw.choices(["nothing", "memory", "files", "descriptors"], [12, 3, 2, 1])[0]
    amount = {
        "memory": lambda: draw.choice([100, 200, 400, 1000, 3000]) << 20,
        "files": lambda: draw.choice([0, 1, 1000, 100_000]),
        "descriptors": lambda: draw.choice([4, 8, 16]),
    }.get(which, lambda: 0)()
    kind = {"memory": resource.RLIMIT_AS, "files": resource.RLIMIT_FSIZE, "descriptors": resource.RLIMIT_NOFILE}

    def apply():
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if which in kind:
            resource.setrlimit(kind[which], (amount, amount))

    return apply, f"{which} {amount}"


def replaceable(arguments):
    """Files that may change: earlier results, and what is named as an output and is nothing that the run reads."""
    # ./-dash.png is -dash.png, which alone would be a flag.
    files = [os.fsdecode(argument).removeprefix("./") for argument in arguments]
    pairs = list(zip([None, *arguments], files))
    outputs = {argument for flag, argument in pairs if flag in OUTPUT_FLAGS}
    inputs = {argument for flag, argument in pairs if flag not in OUTPUT_FLAGS}
    # Under any of its names, and with all that belongs to it.
    for group in [("photo.png", "link.png", "twin.png"), ("-", "list")]:
        if inputs & set(group):
            inputs |= set(group)
    folders = {str(argument).split("/")[0] for argument in inputs}
    belongs = ("model", "shards", "cache", "token", "pictures")

    def free(name):
        top = str(name).split("/")[0]
        return name not in inputs and top not in ("cache", "token") and not (top in belongs and top in folders)

    names = {os.fsencode(name) for name in outputs if free(name)}
    if b"link.png" in names or b"twin.png" in names:
        names.add(b"photo.png")
    # Pictures of a folder go to one under their own names.
    if "--out-dir" in arguments:
        names |= {b"d/0.png"}
    # The same evaluation once more, which is finished, says anew how it went.
    if arguments[0] == "evaluate":
        names |= {os.path.join(name, report) for name in names for report in (b"result.json", b"report.html")}
    return names | {os.fsencode(name) for name in EARLIER}


def run(binary, draw, folder, results):
    """One command line: how it ended, and what is wrong with that, if anything."""
    prepare(folder, results)
    before = contents(folder)
    arguments = command_line(draw)
    apply, limit = limits(draw)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
        "RUST_BACKTRACE": "1",
        "HF_HUB_CACHE": "cache",
        "HF_TOKEN_PATH": "token",
    }
    stdin = draw.choice(["/dev/null", "/dev/zero", "list", "photo.png"])
    started = time.monotonic()
    with open(folder / stdin if not stdin.startswith("/") else stdin, "rb") as given:
        process = subprocess.Popen(
            [binary, *arguments],
            cwd=folder,
            env=environment,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=apply,
        )
    hung = False
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        hung = True
        process.kill()
        out, err = process.communicate()
    took = time.monotonic() - started
    faults = []
    if hung:
        faults.append(f"hangs for more than {PATIENCE} s")
    elif process.returncode not in (0, 1, 2) and not (process.returncode == 127 and b"loading shared" in err):
        faults.append(f"aborts with {process.returncode}")
    text = out.decode(errors="replace") + err.decode(errors="replace")
    word = FORBIDDEN.search(text)
    if word:
        faults.append(f"says {word.group()!r}")
    if "--json" not in arguments and "--show" not in arguments and re.search("[\x07\x9b\u202e]", text):
        faults.append("lets control characters through")
    after = contents(folder)
    may_change = replaceable(arguments)
    lost = [name for name, what in before.items() if name not in may_change and after.get(name) != what]
    if lost:
        faults.append(f"changes {lost}")
    left = [name for name in after if b"unfinished" in name]
    if left and not hung:
        faults.append(f"leaves {left}")
    if "cache/new.png" in map(str, arguments) and (folder / "cache" / "new.png").exists():
        faults.append("writes into the cache")
    return process.returncode, [(fault, arguments, limit, stdin, took, text[-400:]) for fault in faults]


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    binary = os.environ["VAE_FIDELITY"]
    faults = []
    codes = {}
    results = tempfile.TemporaryDirectory()
    evaluated(binary, results.name)
    for number in range(runs):
        draw = random.Random(f"{seed} {number}")
        with tempfile.TemporaryDirectory() as folder:
            code, found = run(binary, draw, pathlib.Path(folder), results.name)
        for fault, arguments, limit, stdin, took, text in found:
            print(f"run {number}: {fault} ({took:.1f} s, limit {limit}, stdin {stdin}): {arguments!r}\n{text!r}", flush=True)
        faults += found
        codes[code] = codes.get(code, 0) + 1
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items()))
    print(f"{runs} runs with seed {seed} ended {ended}: {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
