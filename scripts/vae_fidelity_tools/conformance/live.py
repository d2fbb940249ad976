"""Runs the gist and vae-fidelity side by side on one machine: the bar is equal bits.

    scripts/python.sh -m vae_fidelity_tools.conformance.live --gist debug_diffusion_vae.py --small
    scripts/python.sh -m vae_fidelity_tools.conformance.live --gist debug_diffusion_vae.py --binary target/debug/vae-fidelity

Every golden case and a grid of others goes through the gist's own functions and through
`vae-fidelity check`, with the same number of threads; the first case of each model also through
the gist's command line. stdout is a markdown table. Exit code 1: something is not bit-identical;
2: the comparison could not be made, or did not notice a planted difference. Without `--small` the
full Stable Diffusion 1.4 graph runs at 512 x 512, which takes minutes.
"""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import IMAGES
from vae_fidelity_tools.goldens import reference_script
from vae_fidelity_tools.goldens.cases import CASES, FULL_MODELS, Case
from vae_fidelity_tools.goldens.classes import Kl, class_of
from vae_fidelity_tools.goldens.recipe import repository

GRID_MODELS = ("builtin", "sd-small", "flux1-small")
GRID_IMAGES = ("astronaut.png", "progressive_420.jpg", "cmyk.jpg", "palette_transparent.png", "rgba16.png")
GRID_SIZES = ((56, 72), (104, 40))
FULL_SIZE = [
    Case("sd-v1-4-512", "sd-v1-4", "astronaut_512.jpg", ""),
    Case("sd-v1-4-512-sample", "sd-v1-4", "astronaut_512.jpg", "", seed=42),
]


def chosen_cases(small):
    """Golden cases and the grid; cases of one model follow each other."""
    # `check` takes a picture or a clip at a time, so that batches are left to `golden verify`, as is CUDA.
    golden = [case for case in CASES if (case.clip or not case.batch) and case.device == "cpu"]
    cases = [case for case in golden if case.model not in FULL_MODELS]
    for model, image, size, seed in itertools.product(GRID_MODELS, GRID_IMAGES, GRID_SIZES, (None, 11)):
        mode = "mode" if seed is None else f"seed {seed}"
        name = f"{model}, {image}, {size[0]} x {size[1]}, {mode}"
        cases.append(Case(name, model, image, "", size, seed))
    if not small:
        cases += [case for case in golden if case.model in FULL_MODELS and case.name != "sd-v1-4-512"] + FULL_SIZE
    return sorted(cases, key=lambda case: (case.model, case.dtype))


def fail(text):
    """Ends with the exit code for 'could not be judged'."""
    print(text, file=sys.stderr)
    sys.exit(2)


@dataclass
class Output:
    """What one side made of a case."""

    source: np.ndarray  # RGB8, or RGBA8, that the VAE saw
    latents: np.ndarray
    decoded: np.ndarray
    pixels: np.ndarray | None  # of bf16 there are none


def gist_output(gist, vae, case):
    run = reference_script.run(gist, vae, IMAGES, replace(case, trace=False))
    source = to_levels(run.sample)
    return Output(source, run.latents, run.decoded, run.picture and np.array(run.picture))


def to_levels(sample):
    return np.rint((sample[0].transpose(1, 2, 0).astype(np.float64) + 1) * 127.5).astype(np.uint8)


def rust_output(binary, folder, case, threads):
    """Runs `vae-fidelity check`; returns its files, and checks its JSON against them."""
    with tempfile.TemporaryDirectory() as temporary:
        out = {name: Path(temporary) / name for name in ("x.png", "in.png", "l.safetensors", "d.safetensors")}
        command = [binary, "check", pictures_of(case, temporary), "--repo", folder, "--json", "--threads", threads]
        if case.clip:
            command += ["--frames", 1 + len(case.batch)]
        command += ["--device", "cpu", "--dtype", case.dtype, "--save-input", out["in.png"]]
        if case.dtype != "bf16":
            command += ["--out", out["x.png"]]
        command += ["--save-latents", out["l.safetensors"], "--save-decoded", out["d.safetensors"]]
        if case.size:
            command += ["--width", case.width, "--height", case.height]
        if case.tiling:
            command += ["--tiling", *(["--tile-size", case.tile_size] if case.tile_size else [])]
        if case.seed is not None:
            command += ["--sample", "--seed", case.seed]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
        if done.returncode not in (0, 1):
            fail(f"{case.name}: exit code {done.returncode} from\n{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
        output = Output(
            picture(out["in.png"]),
            load_file(out["l.safetensors"])["latents"],
            load_file(out["d.safetensors"])["decoded"],
            picture(out["x.png"]) if case.dtype != "bf16" else None,
        )
        check_report(case, json.loads(done.stdout), output)
        return output


def pictures_of(case, temporary):
    """The picture, or a folder of the frames of a clip."""
    if not case.clip:
        return IMAGES / case.image
    folder = Path(temporary) / "clip"
    folder.mkdir()
    for number, name in enumerate((case.image, *case.batch)):
        shutil.copy(IMAGES / name, folder / f"{number}-{name}")
    return folder


def picture(path):
    with Image.open(path) as opened:
        return np.array(opened)


def check_report(case, report, output):
    """The JSON must describe the files that were written."""
    saved = report["clip"] if case.clip else report
    expected = {
        "latents.shape": (saved["latents"]["shape"], list(output.latents.shape)),
        "decoded.shape": (saved["decoded"]["shape"], list(output.decoded.shape)),
        "posterior.seed": (report["posterior"]["seed"], case.seed),
        "model.tiling": (report["model"]["tiling"] is not None, case.tiling),
    }
    if output.pixels is not None:
        expected["metrics.identical"] = (report["metrics"]["identical"], same_picture(output))
    for field, (said, is_so) in expected.items():
        if said != is_so:
            fail(f"{case.name}: the report's {field} is {said}, the files say {is_so}")


def same_picture(output):
    """Of the colours alone: alpha has metrics of its own."""
    height, width = (min(sides) for sides in zip(output.source.shape[:2], output.pixels.shape[:2]))
    return bool(np.array_equal(output.source[:height, :width, :3], output.pixels[:height, :width, :3]))


def same_bits(one, other):
    if one is None or other is None:
        return one is other
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def gap(one, other):
    """The largest difference as text."""
    if one.shape != other.shape:
        return f"shapes {one.shape}, {other.shape}"
    return f"{np.abs(one.astype(np.float64) - other.astype(np.float64)).max():.3g}"


def compare(gist, rust):
    """Table cells, and whether everything is identical."""
    equal = {name: same_bits(getattr(gist, name), getattr(rust, name)) for name in vars(gist)}
    said = {name: "yes" if same else "**no**" for name, same in equal.items()}
    cells = [said["source"], gap(gist.latents, rust.latents), said["latents"]]
    cells += [gap(gist.decoded, rust.decoded), said["decoded"], said["pixels"]]
    return cells, all(equal.values())


class Sides:
    """The gist and the binary; and the gist's models."""

    def __init__(self, gist_path, binary, threads, temporary):
        self.gist_path, self.binary, self.threads, self.temporary = gist_path, binary, threads, temporary
        self.gist = reference_script.load_gist(gist_path)
        self.models = reference_script.Models(self.gist, temporary)
        self.run_as_program = set()  # models

    def compare(self, case, rust_case=None):
        """Table cells, and whether everything is identical; a `rust_case` plants a difference."""
        gist = gist_output(self.gist, self.models.of(case), case)
        folder = repository(case.model_folder, self.temporary)
        repo = "builtin" if case.model == "builtin" else folder
        cells, same = compare(gist, rust_output(self.binary, repo, rust_case or case, self.threads))
        program = ""
        # What the gist's command line runs.
        as_program = case.dtype == "f32" and not case.tiling and class_of(folder) is Kl
        if as_program and case.model not in self.run_as_program and rust_case is None:
            self.run_as_program.add(case.model)
            out = Path(self.temporary) / "command_line.png"
            image = IMAGES / case.image
            saved = reference_script.command_line(self.gist_path, folder, image, case.size, case.seed, out)
            program = "yes" if np.array_equal(saved, gist.pixels) else "**no**"
            same = same and program == "yes"
        return [*cells, program], same


def main():
    parser = arguments.parser(__doc__)
    arguments.add_gist(parser)
    arguments.add_binary(parser, "cargo build --features tch")
    parser.add_argument("--small", action="store_true", help="leave out the full topology")
    parser.add_argument("--threads", type=int, default=2, help="on both sides (default 2)")
    parser.add_argument("--only", metavar="TEXT", help="cases whose name contains TEXT")
    args = parser.parse_args()
    cases = [case for case in chosen_cases(args.small) if not args.only or args.only in case.name]
    if not cases:
        fail(f"no case's name contains {args.only!r}")
    torch.set_num_threads(args.threads)
    try:
        binary = args.binary or checkout.binary("--features", "tch")
    except checkout.CargoFailed as failure:
        fail(str(failure))
    different, classes = [], defaultdict(lambda: [set(), 0, 0])
    with tempfile.TemporaryDirectory() as temporary:
        try:
            sides = Sides(args.gist, binary, args.threads, temporary)
        except reference_script.WrongGist as refusal:
            fail(str(refusal))
        planted = Case("planted", "builtin", "astronaut.png", "", (64, 48), seed=1)
        if sides.compare(planted, replace(planted, seed=2))[1]:
            fail("seed 1 against seed 2 was called identical: this comparison cannot fail, so it proves nothing")
        print("| case | input pixels identical | latents max abs diff | bits equal | decoded max abs diff | bits equal "
              "| PNG pixels identical | gist's command line too |")  # fmt: skip
        print("|---|---|---|---|---|---|---|---|")
        for number, case in enumerate(cases, 1):
            cells, same = sides.compare(case)
            print(f"| {case.name} | {' | '.join(cells)} |", flush=True)
            print(f"[{number}/{len(cases)}] {case.name}", file=sys.stderr)
            different += [] if same else [case.name]
            of_class = classes[class_of(case.model_folder).diffusers_class.__name__]
            of_class[0].add(case.model)
            of_class[1:] = of_class[1] + 1, of_class[2] + same
    print("\n| class | models | cases | bit-identical |\n|---|---|---|---|")
    for name, (models, number, same) in classes.items():
        print(f"| `{name}` | {len(models)} | {number} | {same} |")
    print(f"\n{len(cases) - len(different)} of {len(cases)} cases are bit-identical, with {args.threads} threads on both "
          "sides; seed 1 against seed 2 was noticed.")  # fmt: skip
    if different:
        print(f"not identical: {', '.join(different)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
