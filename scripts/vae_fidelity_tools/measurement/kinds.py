"""The kinds of fault that public threads tell of, each planted, and what `check` says of each.

    scripts/python.sh -m vae_fidelity_tools.measurement.kinds --binary target/release/vae-fidelity

Each is planted in the built-in VAE or in the files of diffusers' own pipeline around it, on two photographs,
and `check` is given what a person with that problem has: one file at a time, as PNG and f32. A row is the
threads, what was planted and what was given. `named`: the first finding is of its cause, or two causes of
which it is one. `hinted`: an error that names no cause, or the cause behind others. `read`, `said`: a file
that is no fault is read, or refused by its own name. `unseen`: nothing is said, and nobody would see it
(pictures by 40 dB, tensors by 1 %, round trips by half a dB). SILENT and WRONG are what none may be: exits
with 1 where one is.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging
from PIL import Image

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import MODELS
from vae_fidelity_tools.measurement import kinds_of_files, kinds_of_pipelines, mistakes, pipelines
from vae_fidelity_tools.pictures.photographs import photo

NAME_NO_CAUSE = {"decoded-differs", "latents-differ", "preprocessed-differs", "trace-diverges"}
VAE = MODELS / "builtin/vae"


@dataclass
class Said:
    """What `check` said: its exit code, findings, and all text."""

    exit: int
    findings: list
    text: str
    psnr_db: float

    def told(self):
        return [finding for finding in self.findings if finding["severity"] != "info"]


def check(binary, photograph, folder, given):
    command = [binary, "check", str(photograph), "--json", "--out", str(folder / "decoded.png"), *map(str, given)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1, 2):
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stderr}")
    report = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    psnr_db = (report.get("metrics") or {}).get("psnr_db")
    return Said(done.returncode, report.get("findings", []), done.stderr + done.stdout, psnr_db)


def is_seen(given, said, sound, sound_db):
    """Whether a person would see what was planted, in the file that was given or in the round trip."""
    for flag, theirs in pairwise(given):
        if flag == "--decoded-image":
            return pipelines.is_seen(flag, Image.open(theirs), sound[flag])
        if flag in sound:
            return pipelines.is_seen(flag, torch.from_numpy(np.load(theirs)), sound[flag])
    return said.psnr_db is None or said.psnr_db < sound_db - 0.5


def judged(said, expected):
    """One word; `expected` is a tuple of codes, `None` for what has to be read, or what has to be said."""
    told = [finding["code"] for finding in said.told()]
    if expected is None:
        return "read" if said.exit == 0 and not told else "WRONG"
    if isinstance(expected, str):
        return "said" if expected in said.text else "WRONG"
    if not told:
        return "SILENT"
    if told[0] in expected:
        return "named"
    either = {side["code"] for side in said.told()[0]["evidence"].get("one_of", [])}
    if either & set(expected):
        return "named"
    blames = said.told()[0]["severity"] == "error" and told[0] not in NAME_NO_CAUSE
    return "WRONG" if blames else "hinted"


def sound_files(vae, picture):
    """What a pipeline without a fault makes of it."""
    latents = kinds_of_pipelines.encoded(vae, picture).mean
    return {
        "--preprocessed": kinds_of_pipelines.sample_of(picture),
        "--latents": latents * vae.config.scaling_factor,
        "--decoded-image": mistakes.to_picture(kinds_of_pipelines.decoded(vae, latents)),
    }


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--binary", required=True, help="vae-fidelity")
    parser.add_argument("--only", nargs="*", help="parts of the rows' names")
    args = parser.parse_args()
    torch.set_num_threads(2)
    logging.set_verbosity_error()
    words = Counter()
    with tempfile.TemporaryDirectory() as work:
        for name in ("coffee", "chelsea"):
            # Sides that 8 divides, so that nothing is resized.
            picture = photo(name, (256, 256))
            picture.save(Path(work) / "photo.png")
            sound_db = check(args.binary, Path(work) / "photo.png", Path(work), []).psnr_db
            sound = sound_files(AutoencoderKL.from_pretrained(VAE), picture)
            for kind in kinds_of_pipelines.KINDS + kinds_of_files.KINDS:
                if args.only and not any(part in f"{kind.threads} {kind.name}" for part in args.only):
                    continue
                folder = Path(work) / "one"
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                shutil.copytree(VAE, folder / "vae")
                vae = AutoencoderKL.from_pretrained(VAE)
                planted = kind.plant(folder, picture, vae, random.Random(f"{name} {kind.name}"))
                photograph = folder / "photo.png"
                if not photograph.exists():
                    picture.save(photograph)
                for given in planted:
                    said = check(args.binary, photograph, folder, given)
                    word = judged(said, kind.expected)
                    if word == "SILENT" and not is_seen(given, said, sound, sound_db):
                        word = "unseen"
                    words[word] += 1
                    told = ", ".join(f"{f['code']} ({f['severity']})" for f in said.told()) or "nothing"
                    flags = " ".join(str(part) for part in given if str(part).startswith("--"))
                    row = f"{kind.threads}: {kind.name} [{name}, {flags}; exit {said.exit}]"
                    print(f"{word:7}{row}: {told}", flush=True)
    print(", ".join(f"{word}: {count}" for word, count in sorted(words.items())))
    sys.exit(bool(words["SILENT"] or words["WRONG"]))


if __name__ == "__main__":
    main()
