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
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 20
CONFIG = """{"_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [8, 8, 8, 8],
"down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
"up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
"in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 1,
"norm_num_groups": 4, "sample_size": 64, "scaling_factor": 0.18215}"""
RECIPE = '{"schema_version": 1, "hash": "fnv1a64-splitmix64"}'
ESCAPES = "\x1b[31m\x1b]0;x\x07\u202e<script>"
FORBIDDEN = re.compile(r"panicked|internal error|stack backtrace|memory allocation of|c10::|core dumped|overflowed its stack")
EARLIER = ["decoded.png", "earlier.png", "earlier.json", "earlier.safetensors", "earlier.html"]


def prepare(folder):
    """Everything that a run may name."""
    images = ROOT / "golden" / "images"
    for name in ["exif_rotated.jpg", "progressive_420.jpg"]:
        shutil.copy(images / name, folder / name)
    photo = images / "grey.png"
    for name in ["photo.png", "other.png", ESCAPES + ".png", "with space.png", "-dash.png"]:
        shutil.copy(photo, folder / name)
    shutil.copy(photo, os.fsencode(folder) + b"/\xff\xfe.png")
    (folder / "broken.png").write_bytes(photo.read_bytes()[:200])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture\n")
    (folder / "garbage.safetensors").write_bytes(os.urandom(5000))
    (folder / "garbage.npy").write_bytes(b"\x93NUMPY\x01\x00" + os.urandom(500))
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, 8, 8), }".ljust(117) + "\n"
    values = b"".join(struct.pack("<f", (number % 37 - 18) / 9) for number in range(256))
    (folder / "latents.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values)
    (folder / "garbage.json").write_text('{"a": [1, 2')
    (folder / "deep.json").write_text("[" * 100_000)
    sparse = folder / "sparse.ppm"
    sparse.write_bytes(b"P6 8 8 255\n" + bytes(192))
    os.truncate(sparse, 3_000_000_000)
    for name, config in [
        ("model", CONFIG),
        ("wide", CONFIG.replace("[8, 8, 8, 8]", "[4096, 16384, 8, 8]")),
        ("strange", CONFIG.replace("AutoencoderKL", "A\\u001b[31m")),
        ("nan", CONFIG.replace("0.18215", "1e-300")),
    ]:
        (folder / name / "vae").mkdir(parents=True)
        (folder / name / "vae" / "config.json").write_text(config)
        (folder / name / "vae" / "recipe.json").write_text(RECIPE)
        (folder / name / "model_index.json").write_text("{}")
    (folder / "shards").mkdir()
    (folder / "shards" / "config.json").write_text(CONFIG)
    (folder / "shards" / "part-one").write_bytes(b"x" * 100)
    (folder / "shards" / "diffusion_pytorch_model.safetensors.index.json").write_text(
        '{"metadata": {}, "weight_map": {"a": "part-one"}}'
    )
    (folder / "empty").mkdir()
    (folder / "pictures").mkdir()
    for number in range(3):
        shutil.copy(photo, folder / "pictures" / f"{number}.png")
    (folder / "list").write_text("photo.png\nother.png\n")
    (folder / "token").write_text("hf_x")
    (folder / "cache" / "models--a--b" / "blobs").mkdir(parents=True)
    (folder / "cache" / "models--a--b" / "blobs" / "blob").write_text("weights")
    os.mkfifo(folder / "pipe")
    os.symlink("loop", folder / "loop")
    os.symlink("photo.png", folder / "link.png")
    os.symlink("gone", folder / "dangling")
    os.link(folder / "photo.png", folder / "twin.png")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(folder / "socket"))
    for name in EARLIER:
        (folder / name).write_text("an earlier result")


INPUTS = [
    "photo.png",
    "photo.png",
    "photo.png",
    "other.png",
    ESCAPES + ".png",
    "with space.png",
    b"\xff\xfe.png",
    "./-dash.png",
    "exif_rotated.jpg",
    "progressive_420.jpg",
    "broken.png",
    "empty.png",
    "text.png",
    "sparse.ppm",
    "garbage.safetensors",
    "garbage.npy",
    "latents.npy",
    "garbage.json",
    "deep.json",
    "model",
    "pictures",
    "empty",
    "pipe",
    "socket",
    "loop",
    "link.png",
    "twin.png",
    "dangling",
    "gone.png",
    "/dev/zero",
    "/dev/null",
    "/dev/full",
    "/proc/kmsg",
    "/proc/kcore",
    "/proc/self/mem",
    "-",
    "",
    ".",
    "..",
    "/",
    "a" * 300,
    "a/" * 3000,
    "model/vae/config.json",
]
SOURCES = [
    "model",
    "model",
    "model",
    "builtin",
    "wide",
    "strange",
    "nan",
    "shards",
    "empty",
    "model/vae",
    "gone",
    "garbage.safetensors",
    "photo.png",
    "pipe",
    "/dev/zero",
    "/proc/kmsg",
    "a/b",
    "https://x/y",
    "",
    "socket",
    "loop",
    "model/vae/recipe.json",
    "a/b/c",
    "../..",
    "/",
]
OUTPUTS = [
    *EARLIER,
    *EARLIER,
    "new.png",
    "new.json",
    "new.safetensors",
    "new.html",
    *INPUTS,
    "token",
    "list",
    "cache/new.png",
    "cache/models--a--b/blobs/blob",
    "shards/part-one",
    "model/model_index.json",
    "new/x.png",
]
NUMBERS = [
    "0",
    "1",
    "-1",
    "8",
    "16",
    "64",
    "7",
    "1e9",
    "nan",
    "inf",
    "-inf",
    "999999999999999999999",
    "0x10",
    "",
    "13000",
    "4096",
    "1.5",
    "-0",
]


OUTPUT_FLAGS = {
    "--out": "png",
    "-o": "png",
    "--save-input": "png",
    "--heatmap": "png",
    "--montage": "png",
    "--report": "html",
    "--save-latents": "safetensors",
    "--save-decoded": "safetensors",
    "--save-trace": "json",
    "--out-dir": "d",
}


def value(draw, flag):
    if flag in ("--repo", "--vae", "--model"):
        return draw.choice(SOURCES) if draw.random() < 0.4 else "model"
    if flag in OUTPUT_FLAGS:
        usual = f"{draw.choice(['new', 'earlier', 'other', 'with space'])}.{OUTPUT_FLAGS[flag]}"
        return draw.choice(OUTPUTS) if draw.random() < 0.5 else usual
    if flag in (
        "--config",
        "--against",
        "--baseline",
        "--latents",
        "--decoded-image",
        "--preprocessed",
        "--image",
        "--latents-key",
    ):
        return draw.choice(INPUTS)
    if flag in ("--width", "--height", "--threads", "--tile-size", "--seed", "--min-psnr", "--min-ssim", "--atol", "--rtol"):
        return draw.choice(NUMBERS)
    words = {
        # Charts of 4096 pixels a side take longer than a run may.
        "--size": ["128", "192", "64", "0", "-1", "nan", "13000", ""],
        "--dtype": ["f32", "f16", "bf16", "fp16", "auto", "x"],
        "--engine": ["fast", "reference", "x"],
        "--device": ["cpu", "cuda", "cuda:99", "auto", "x"],
        "--latents-scale": ["raw", "scaled", "x"],
        "--exif": ["apply", "ignore", "x"],
        "--max-memory": ["1", "1M", "200M", "1G", "99T", "x"],
        "--family": ["sd1", "sdxl", "flux", "x"],
        "--variant": ["fp16", "..", "/", ""],
        "--subfolder": ["vae", "..", "/", "", "gone"],
        "--revision": ["main", "..", "x"],
        "--only": ["builtin", "x", ESCAPES],
        "--format": ["npy", "safetensors", "both", "x"],
    }
    return draw.choice(words.get(flag, ["x"]))


SHARED = [
    "--repo",
    "--repo",
    "--device",
    "--dtype",
    "--threads",
    "--engine",
    "--width",
    "--height",
    "--seed",
    "--exif",
    "--config",
    "--family",
    "--variant",
    "--subfolder",
    "--revision",
]
FLAGS = {
    "check": [
        *SHARED,
        "--out",
        "--out",
        "--out-dir",
        "--image",
        "--tile-size",
        "--max-memory",
        "--save-input",
        "--save-latents",
        "--save-decoded",
        "--save-trace",
        "--heatmap",
        "--montage",
        "--report",
        "--latents",
        "--latents-scale",
        "--decoded-image",
        "--preprocessed",
        "--against",
        "--min-psnr",
        "--min-ssim",
        "--baseline",
        "-o",
    ],
    "trace": [*SHARED, "--save-trace", "--against", "--atol", "--rtol"],
    "decode": [
        *SHARED,
        "--out",
        "--out-dir",
        "--save-decoded",
        "--latents-key",
        "--latents-scale",
        "--decoded-image",
        "--tile-size",
        "--max-memory",
    ],
    "probe": [*SHARED, "--out", "--out", "--report", "--size", "-o"],
    "compare": ["--heatmap", "--montage", "--min-psnr", "--min-ssim", "--atol", "--rtol"],
    "inspect": ["--config", "--family", "--variant", "--subfolder", "--revision"],
    "explain": [],
}
SWITCHES = {
    "check": ["--sample", "--tiling", "--slicing", "--cross-check", "--forecast", "--show", "--json", "--quiet", "--strip-paths"],
    "trace": ["--sample", "--json", "--quiet", "--strip-paths"],
    "decode": ["--tiling", "--json", "--quiet", "--strip-paths"],
    "probe": ["--json", "--quiet", "--strip-paths"],
    "compare": ["--json", "--quiet"],
    "inspect": ["--tensors", "--json", "--strip-paths"],
    "explain": ["--json"],
}


def command_line(draw):
    commands = {"check": 10, "trace": 3, "decode": 3, "probe": 2, "compare": 3, "inspect": 3, "explain": 1}
    command = draw.choices(list(commands), list(commands.values()))[0]
    arguments = [command]
    count = {"check": draw.choice([1, 1, 1, 2, 0, 5]), "compare": 2, "trace": 1, "decode": 1, "probe": 0}.get(
        command, draw.choice([1, 2, 0])
    )
    pool, usual = (SOURCES, SOURCES[:4]) if command == "inspect" else (INPUTS, INPUTS[:9])
    if command == "decode":
        usual = ["latents.npy", "garbage.npy", "garbage.safetensors"]
    arguments += [draw.choice(pool if draw.random() < 0.4 else usual) for _ in range(count)]
    for flag in draw.sample(FLAGS[command], min(len(FLAGS[command]), draw.choice([0, 1, 2, 3, 5]))):
        arguments += [flag, value(draw, flag)]
    if command in ("check", "trace", "decode", "probe") and not {"--repo", "--vae"} & {a for a in arguments if isinstance(a, str)}:
        arguments += ["--repo", "model"]
    arguments += [switch for switch in SWITCHES[command] if draw.random() < 0.15]
    if draw.random() < 0.03:
        arguments.insert(draw.randrange(len(arguments) + 1), draw.choice([ESCAPES, "--size", "--", b"\xff", "--nonsense"]))
    return arguments


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
    pairs = list(zip([None, *arguments], arguments))
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
    return names | {os.fsencode(name) for name in EARLIER}


def run(binary, draw, folder):
    """One command line: how it ended, and what is wrong with that, if anything."""
    prepare(folder)
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
    for number in range(runs):
        draw = random.Random(f"{seed} {number}")
        with tempfile.TemporaryDirectory() as folder:
            code, found = run(binary, draw, pathlib.Path(folder))
        for fault, arguments, limit, stdin, took, text in found:
            print(f"run {number}: {fault} ({took:.1f} s, limit {limit}, stdin {stdin}): {arguments!r}\n{text!r}", flush=True)
        faults += found
        codes[code] = codes.get(code, 0) + 1
    ended = ", ".join(f"{count} with {code}" for code, count in sorted(codes.items()))
    print(f"{runs} runs with seed {seed} ended {ended}: {len(faults)} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
