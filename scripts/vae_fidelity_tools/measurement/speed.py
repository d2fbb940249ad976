"""Times this crate beside its peers: whole processes, alternating, on the same weights and picture.

    scripts/python.sh scripts/compare_speed.py --gist debug_diffusion_vae.py
    scripts/python.sh scripts/compare_speed.py --gist debug_diffusion_vae.py --side 256 --runs 3 \\
        --only gist --only fast --plot speed.svg

Weights are the golden recipe's, the full Stable Diffusion 1.4 graph. Every round runs each side once,
so that a noisy clock hits all alike; what counts are ratios of medians. Outputs are compared with
the gist's. stdout is a markdown table; --json F keeps every single figure. OpenVINO comes with pip, on
demand; candle is built by cargo from examples/candle.

Exit code 1: a side's output disagrees; 2: could not be measured.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

import golden_gist
from compare_with_gist import build, picture
from golden_recipe import GOLDEN, repository

ROOT = GOLDEN.parent
OWN = ("reference", "fast")
PEERS = ("diffusers", "torch.compile", "onnxruntime", "openvino")
SIDES = ("gist", *OWN, *PEERS, "candle")
TUNED = {  # glibc keeps freed memory: what a careful user of PyTorch sets
    "MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}  # fmt: skip
LEAST_DB = 60.0  # a picture and the gist's


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


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder = args, Path(folder)
        self.model = repository(GOLDEN / "models" / "sd-v1-4", folder)
        self.picture = self.folder / "picture.png"
        with Image.open(GOLDEN / "images" / "astronaut_512.jpg") as photo:
            photo.convert("RGB").resize((args.side, args.side), Image.Resampling.BICUBIC).save(self.picture)
        self.binary = args.binary or build("--release")
        self.python = sys.executable
        golden_gist.load_gist(args.gist)  # refuses another SHA-256
        pixels = np.asarray(Image.open(self.picture), np.float32).transpose(2, 0, 1)[None]
        np.save(self.folder / "sample.npy", pixels / 127.5 - 1)

    def prepare(self, side):
        if side in PEERS:
            print(f"preparing {side}", file=sys.stderr)
            if side == "openvino":
                timed([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "openvino==2026.4.1"])
            command = [self.python, ROOT / "scripts/speed_peer.py", "prepare", side, self.model, self.args.side, self.cache(side)]
            timed(command)
        if side == "candle":
            manifest = ROOT / "examples/candle/Cargo.toml"
            command = ["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", manifest, "--bin", "speed"]
            timed(command)
            self.run("reference")
            scaled, config = load_file(self.folder / "l.safetensors")["latents"], self.model / "vae/config.json"
            np.save(self.folder / "latents.npy", scaled / json.loads(config.read_text()).get("scaling_factor", 0.18215))

    def cache(self, side):
        return self.folder / ("onnx" if side in ("onnxruntime", "openvino") else side)

    def run(self, side):
        """One figure, with the output where it can be had."""
        out = self.folder / "out.png"
        if side == "gist":
            command = [self.python, self.args.gist, "--image", self.picture, "--repo", self.model, "--out", out]
            figure, _ = timed(command)
            return figure, {"picture": picture(out).astype(np.float64)}
        if side in OWN:
            latents, decoded = self.folder / "l.safetensors", self.folder / "d.safetensors"
            command = [self.binary, "check", self.picture, "--repo", self.model, "--engine", side, "--json", "--device", "cpu"]
            command += ["--out", out, "--save-latents", latents, "--save-decoded", decoded]
            figure, stdout = timed(command)
            times = json.loads(stdout)["timings_ms"]
            figure |= {"encode_s": times["encode"] / 1e3, "decode_s": times["decode"] / 1e3}
            return figure, {"picture": picture(out).astype(np.float64), "decoded": load_file(decoded)["decoded"]}
        result = self.folder / "out.npz"
        if side == "candle":
            target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "examples/candle/target"))
            files = [self.folder / name for name in ("sample.npy", "latents.npy", "candle-decoded.npy")]
            figure, stdout = timed([target / "release/speed", self.model, *files])
            return figure | json.loads(stdout), {"decoded": np.load(files[2])}
        command = [self.python, ROOT / "scripts/speed_peer.py", "run", side, self.model, self.folder / "sample.npy", result, self.cache(side)]
        figure, stdout = timed(command, TUNED if side == "diffusers" else None)
        return figure | json.loads(stdout), {"decoded": np.load(result)["decoded"]}


def picture_of(output):
    if "picture" in output:
        return output["picture"]
    decoded = output["decoded"][0].transpose(1, 2, 0).astype(np.float64)
    return np.rint(np.clip(decoded / 2 + 0.5, 0, 1) * 255)


def psnr_db(a, b):
    mse = np.mean((a - b) ** 2)
    return float("inf") if mse == 0 else 10 * np.log10(255**2 / mse)


def table(figures, agreement, gist):
    lines = ["| side | whole process s | of it encode, decode s | CPU s | peak MiB | times the gist's speed | picture agrees with the gist's, dB |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for side, runs in figures.items():
        median = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        inner = f"{median['encode_s']:.1f}, {median['decode_s']:.1f}" if "encode_s" in median else ""
        ratio = f"{gist / median['wall_s']:.2f}" if gist else ""
        same = "identical" if agreement[side] == float("inf") else f"{agreement[side]:.1f}"
        lines.append(f"| {side} | {median['wall_s']:.1f} | {inner} | {median['cpu_s']:.1f} | {median['peak_mib']:.0f} | {ratio} | {same} |")
    return "\n".join(lines)


def plot(figures, path):
    """Bars of the medians, as an SVG that reads on light and dark."""
    medians = {side: statistics.median(run["wall_s"] for run in runs) for side, runs in figures.items()}
    longest, height = max(medians.values()), 30
    rows = []
    for row, (side, seconds) in enumerate(sorted(medians.items(), key=lambda item: item[1])):
        y, width = 10 + row * height, max(2, 420 * seconds / longest)
        colour = "#2f6fdf" if side in OWN else "#8a8f98"
        # speed_peer.py: its process runs the picture twice.
        label = f"{side} (two trips)" if side == "torch.compile" else side
        rows.append(f'<text x="180" y="{y + 16}" text-anchor="end">{label}</text><rect x="190" y="{y}" width="{width:.0f}" '
                    f'height="22" rx="3" fill="{colour}"/><text x="{196 + width:.0f}" y="{y + 16}">{seconds:.1f} s</text>')  # fmt: skip
    style = "text{font:14px sans-serif;fill:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
    total = 20 + height * len(rows)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {total}" width="680"><style>{style}</style>{"".join(rows)}</svg>\n'
    Path(path).write_text(svg)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gist", required=True, help="path of the unmodified gist, debug_diffusion_vae.py")
    parser.add_argument("--binary", help="vae-fidelity; built with cargo in release mode if not given")
    parser.add_argument("--side", type=int, default=512, help="height and width (default 512)")
    parser.add_argument("--runs", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--only", action="append", choices=SIDES, help="may be repeated; default all")
    parser.add_argument("--json", help="file for every single figure")
    parser.add_argument("--plot", help="SVG file for a bar chart")
    args = parser.parse_args()
    sides = args.only or SIDES
    with tempfile.TemporaryDirectory() as folder:
        try:
            bench = Bench(args, folder)
        except golden_gist.WrongGist as refusal:
            print(refusal, file=sys.stderr)
            sys.exit(2)
        for side in sides:
            bench.prepare(side)
        figures, outputs = {side: [] for side in sides}, {}
        for round_ in range(args.runs):
            for side in sides:
                figure, outputs[side] = bench.run(side)
                figures[side].append(figure)
                print(f"[{round_ + 1}/{args.runs}] {side}: {figure['wall_s']:.1f} s, {figure['peak_mib']:.0f} MiB", file=sys.stderr)
        expected = picture_of(outputs["gist" if "gist" in sides else sides[0]])
        agreement = {side: psnr_db(expected, picture_of(output)) for side, output in outputs.items()}
    gist = statistics.median(run["wall_s"] for run in figures["gist"]) if "gist" in figures else None
    print(table(figures, agreement, gist))
    cores = len(os.sched_getaffinity(0))
    print(f"\n{args.side} x {args.side}, medians of {args.runs} alternating runs, {cores} cores, {platform.machine()}, {date.today()}.")
    if args.json:
        Path(args.json).write_text(json.dumps({"side": args.side, "figures": figures}, indent=1) + "\n")
    if args.plot:
        plot(figures, args.plot)
    wrong = [side for side, db in agreement.items() if not db >= LEAST_DB]
    if wrong:
        print(f"disagrees: {', '.join(wrong)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
