"""Round trips as whole processes, timed: this crate's engines, the gist, and their peers."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import IMAGES, MODELS, program
from vae_fidelity_tools.goldens import reference_script
from vae_fidelity_tools.goldens.recipe import repository

OWN = ("reference", "fast")
PEERS = ("diffusers", "torch.compile", "onnxruntime", "openvino")
SPEED_PEER = program("measurement.speed_peer")
TUNED = {  # glibc keeps freed memory: what a careful user of PyTorch sets
    "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}  # fmt: skip

# A process counts what its parent held when it was forked as its own peak: this one holds little.
LAUNCH = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
figure = {"wall_s": time.perf_counter() - started, "cpu_s": usage.ru_utime + usage.ru_stime,
          "peak_mib": usage.ru_maxrss / 1024}
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), figure], file)
"""


def timed(command, environment=None):
    """Wall and CPU seconds, peak resident MiB and stdout of a whole process."""
    with tempfile.NamedTemporaryFile() as file:
        launched = [sys.executable, "-S", "-c", LAUNCH, file.name, *map(str, command)]
        done = subprocess.run(launched, capture_output=True, text=True, env={**os.environ, **(environment or {})})
        if done.returncode:
            print(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}", file=sys.stderr)
            sys.exit(2)
        code, figure = json.loads(Path(file.name).read_text())
    if code not in (0, 1):
        print(f"exit code {code} from {' '.join(map(str, command))}\n{done.stderr[-2000:]}", file=sys.stderr)
        sys.exit(2)
    return figure, done.stdout


def picture(path):
    with Image.open(path) as opened:
        return np.array(opened)


class Bench:
    """One picture on the full Stable Diffusion 1.4 graph, and each side that can take it round."""

    def __init__(self, args, folder):
        self.args, self.folder = args, Path(folder)
        self.model = repository(MODELS / "sd-v1-4", folder)
        self.picture = self.folder / "picture.png"
        with Image.open(IMAGES / "astronaut_512.jpg") as photo:
            photo.convert("RGB").resize((args.side, args.side), Image.Resampling.BICUBIC).save(self.picture)
        self.binary = args.binary or checkout.binary("--release", "--features", "tch")
        self.python = sys.executable
        reference_script.load_gist(args.gist)  # refuses another SHA-256
        pixels = np.asarray(Image.open(self.picture), np.float32).transpose(2, 0, 1)[None]
        np.save(self.folder / "sample.npy", pixels / 127.5 - 1)

    def prepare(self, side):
        if side in PEERS:
            print(f"preparing {side}", file=sys.stderr)
            if side == "openvino":
                timed([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "openvino==2026.4.1"])
            timed([*SPEED_PEER, "prepare", side, self.model, self.args.side, self.cache(side)])
        if side == "candle":
            manifest = checkout.ROOT / "examples/candle/Cargo.toml"
            build = ("build", "--release", "--locked", "--quiet", "--manifest-path", manifest, "--bin", "speed")
            self.candle = checkout.executables(*build)["speed"]
            self.run("reference")
            scaled, config = load_file(self.folder / "l.safetensors")["latents"], self.model / "vae/config.json"
            np.save(self.folder / "latents.npy", scaled / json.loads(config.read_text()).get("scaling_factor", 0.18215))

    def cache(self, side):
        return self.folder / ("onnx" if side in ("onnxruntime", "openvino") else side)

    def check(self, engine, *flags):
        """The figure of one round trip by the command, with the times that it gives itself."""
        command = [self.binary, "check", self.picture, "--repo", self.model, "--engine", engine, "--json"]
        figure, stdout = timed([*command, "--device", "cpu", "--out", self.folder / "out.png", *flags])
        times = json.loads(stdout)["timings_ms"]
        return figure | {"encode_s": times["encode"] / 1e3, "decode_s": times["decode"] / 1e3}

    def run(self, side):
        """One figure, with the output where it can be had."""
        out = self.folder / "out.png"
        if side == "gist":
            command = [self.python, self.args.gist, "--image", self.picture, "--repo", self.model, "--out", out]
            figure, _ = timed(command)
            return figure, {"picture": picture(out).astype(np.float64)}
        if side in OWN:
            latents, decoded = self.folder / "l.safetensors", self.folder / "d.safetensors"
            figure = self.check(side, "--save-latents", latents, "--save-decoded", decoded)
            return figure, {"picture": picture(out).astype(np.float64), "decoded": load_file(decoded)["decoded"]}
        result = self.folder / "out.npz"
        if side == "candle":
            files = [self.folder / name for name in ("sample.npy", "latents.npy", "candle-decoded.npy")]
            figure, stdout = timed([self.candle, self.model, *files])
            return figure | json.loads(stdout), {"decoded": np.load(files[2])}
        command = [*SPEED_PEER, "run", side, self.model, self.folder / "sample.npy", result, self.cache(side)]
        figure, stdout = timed(command, TUNED if side == "diffusers" else None)
        return figure | json.loads(stdout), {"decoded": np.load(result)["decoded"]}


def parser(documentation, runs, what, sides):
    """With the arguments of every program that times sides; `runs` is the default of --runs, which counts `what`."""
    made = arguments.parser(documentation)
    arguments.add_gist(made)
    arguments.add_binary(made, "cargo build --release --features tch")
    made.add_argument("--runs", type=int, default=runs, help=f"{what} (default {runs})")
    made.add_argument("--only", action="append", choices=sides, help="may be repeated; default all")
    made.add_argument("--json", type=Path, help="file for every single figure")
    made.add_argument("--plot", type=Path, help="SVG file for a plot")
    return made


def bench(args, folder):
    """A Bench, or the end of the program with the exit code for 'could not be measured'."""
    try:
        return Bench(args, folder)
    except (reference_script.WrongGist, checkout.CargoFailed) as refusal:
        print(refusal, file=sys.stderr)
        sys.exit(2)


def machine():
    """What figures depend on, for the line below a table."""
    return f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, {date.today()}"
