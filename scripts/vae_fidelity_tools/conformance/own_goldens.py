#!/usr/bin/env python3
"""Goldens of one's own, from end to end: a model that diffusers made, two pictures, a new suite.

    scripts/python.sh -m vae_fidelity_tools.conformance.own_goldens --gist debug_diffusion_vae.py --binary PATH

The suite has to be verified bit for bit by this crate's libtorch model, exported, and failed where a
weight was changed. What the writer must refuse is tried too. Exits 1 where something is not so.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import IMAGES, program

PICTURES = [IMAGES / name for name in ("exif_rotated.jpg", "rgba.png")]


def model(folder):
    """A VAE with weights as diffusers draws them, in three levels of uneven width."""
    torch.manual_seed(7)
    AutoencoderKL(
        block_out_channels=(16, 24, 32), norm_num_groups=8, layers_per_block=1, latent_channels=6,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=0.7, shift_factor=0.1,
    ).save_pretrained(folder)  # fmt: skip


def write(gist, repo, out, images=PICTURES, more=()):
    command = [*program("goldens.write"), "--gist", gist, "--repo", repo, "--out", out]
    return subprocess.run([*map(str, command), "--images", *map(str, images), *more], capture_output=True, text=True)


def verify(binary, *arguments):
    ran = subprocess.run([binary, "golden", "verify", "--json", *map(str, arguments)], capture_output=True, text=True)
    return ran.returncode, json.loads(ran.stdout)


def spoil(suite):
    """Changes one weight of the suite's own copy of the model."""
    weights = suite / "models" / "my-vae" / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    tensors["decoder.mid_block.resnets.1.conv1.weight"] *= 1.01
    save_file(tensors, weights, metadata={"format": "pt"})


def expect(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")
    print(f"ok: {what}")


def main():
    parser = arguments.parser(__doc__)
    arguments.add_gist(parser)
    parser.add_argument("--binary", required=True, help="vae-fidelity, with libtorch")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        temporary = Path(temporary)
        repo, suite = temporary / "my-vae", temporary / "suite"
        model(repo)
        ran = write(args.gist, repo, suite)
        expect(ran.returncode == 0, f"a suite is written of a model that diffusers saved\n{ran.stdout}{ran.stderr}")
        expect("not measured" in ran.stdout, "the writer says that tolerances are not measured")
        code, report = verify(args.binary, "--golden", suite)
        expect(code == 0 and report["summary"]["cases"] == 4, "golden verify --golden takes it: 4 cases pass")
        judged = [(case["case"], check) for case in report["cases"] for check in case["checks"]]
        # The standard deviation is derived from golden moments, and rounded in another way.
        other = [
            f"{case}/{check['tensor']}" for case, check in judged
            if check["outcome"] not in ("bit_identical", "not_judged") and check["tensor"] != "std"
        ]  # fmt: skip
        expect(not other, f"every tensor is bit-identical {other}")
        inputs = temporary / "inputs"
        export = [args.binary, "golden", "export", str(inputs), "--golden", str(suite)]
        expect(subprocess.run(export, capture_output=True).returncode == 0, "golden export --golden takes it")

        spoil(suite)
        code, report = verify(args.binary, "--golden", suite)
        located = {
            check["location"]["module"] for case in report["cases"] for check in case["checks"]
            if (check["location"] or {}).get("found") == "module"
        }  # fmt: skip
        expect(code == 1 and located == {"decoder.mid_block.resnets.1.conv1"}, f"a changed weight fails, at {located}")

        small = temporary / "small"
        ran = write(args.gist, repo, small, PICTURES[:1], ("--width", "32", "--height", "24"))
        expect(ran.returncode == 0, f"a suite of a small picture is written\n{ran.stdout}{ran.stderr}")
        spoil(small)
        code, report = verify(args.binary, "--golden", small)
        faults = [
            (check["location"]["fault"]["verdict"], check["location"]["fault"].get("broken"))
            for case in report["cases"] for check in case["checks"] if check["tensor"] == "decoded" and check["location"]
            if check["location"]["found"] == "module"
        ]  # fmt: skip
        expected = [("broken_here", ["decoder.mid_block.resnets.1"])]
        expect(faults == expected, f"its blocks are kept, and the spoiled one is broken alone {faults}")

        refusals = [
            (write(args.gist, repo, suite), "exists; name a new folder"),
            (write(args.gist, temporary / "inputs", temporary / "a"), "save_pretrained"),
            (write(args.gist, repo, temporary / "a", ["gone.png"]), "no such picture"),
            (write(args.gist, repo, temporary / "a", [PICTURES[0]] * 2), "one name"),
        ]
        for ran, words in refusals:
            expect(ran.returncode and words in ran.stderr, f"refused: {words}")
        expect(not (temporary / "a").exists(), "what was refused leaves nothing behind")


if __name__ == "__main__":
    main()
