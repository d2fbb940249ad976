"""Pipelines with one mistake each, drawn by a seed, and what `check` says of their files.

    scripts/python.sh -m vae_fidelity_tools.measurement.pipelines --binary target/release/vae-fidelity
    scripts/python.sh -m vae_fidelity_tools.measurement.pipelines --binary ... --seed 7 --count 200

Each is diffusers' own encoding and decoding of a photograph that no rule was tuned on, by one of the two
trained VAEs, with one of `measurement.mistakes` in it and what pipelines do to files besides: latents in f16
or in another container, the picture as JPEG. `check` gets the photograph, the VAE and the pipeline's files,
and nothing that tells the mistake. It is named where its code is that of the first finding. A draw in which
the mistake changes no file so that it is seen (pictures by 40 dB, tensors by 1 %) is drawn again, up to eight
times. Prints each pipeline, and exits with 1 where fewer than 95 % are named.
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging
from PIL import Image
from safetensors.torch import save_file

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import MODELS, ROOT
from vae_fidelity_tools.measurement import mistaken_files  # noqa: F401, whose mistakes are among MISTAKES
from vae_fidelity_tools.measurement.mistakes import MISTAKES, Mistake, to_picture
from vae_fidelity_tools.pictures.photographs import photograph

PHOTOGRAPHS = ["chelsea", "flower", "motorcycle_left", "ihc", "hubble_deep_field", "retina"]
TRAINED = {"builtin": MODELS / "builtin/vae", "eight-channel": ROOT / "tests/fixtures/models/eight-channel/vae"}
LEAST_NAMED = 0.95
NOTHING = Mistake("nothing", "nowhere", (), None)
DRAWS = 8
SEEN_DB, SEEN_SHARE = 40.0, 0.01


def cut(name, draw):
    """A part of a photograph at a scale that is drawn, with sides that 8 need not divide."""
    picture = photograph(name)
    scale = draw.uniform(0.4, 1.0)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.LANCZOS)
    width, height = (min(draw.randrange(120, 240), side) for side in picture.size)
    left, top = draw.randrange(picture.width - width + 1), draw.randrange(picture.height - height + 1)
    return picture.crop((left, top, left + width, top + height))


def run_pipeline(vae, picture, mistake, draw):
    """The tensor that is fed, the latents that are kept, and the picture that is saved."""

    def at(place, plain, *what):
        return mistake.change(*what, draw) if mistake.place == place else plain()

    size = tuple(max(8, side // 8 * 8) for side in picture.size)
    fed = at("fed", lambda: picture.resize(size, Image.BICUBIC), picture, size)
    sample = torch.from_numpy(np.asarray(fed, np.float32) / 255).permute(2, 0, 1)[None] * 2 - 1
    sample = at("sample", lambda: sample, sample)
    factor = vae.config.scaling_factor
    with torch.no_grad():
        posterior = vae.encode(sample).latent_dist
        latents = at("latents", lambda: posterior.mean * factor, posterior.mean, posterior.std, factor)
        raw = latents / factor
        decoded = at("decode", lambda: vae.decode(raw).sample, vae, raw)
    return sample, latents, at("saved", lambda: to_picture(decoded), decoded, fed)


def keep_latents(latents, folder, draw):
    """As one of the containers that people write; the path."""
    kept = latents if draw.random() < 0.6 else latents.half()
    kind = draw.choice(["safetensors", "npy", "pt"])
    path = folder / f"latents.{kind}"
    if kind == "safetensors":
        save_file({"latents": kept.contiguous()}, path)
    elif kind == "npy":
        np.save(path, kept.numpy())
    else:
        torch.save(kept.clone(), path)
    return path


def keep_picture(picture, folder, draw):
    if draw.random() < 0.7:
        path, options = folder / "theirs.png", {}
    else:
        path, options = folder / "theirs.jpg", {"quality": draw.choice([90, 95]), "subsampling": 0}
    picture.save(path, **options)
    return path


def is_seen(flag, theirs, sound):
    """Whether what was kept is another than a sound pipeline's, to a person's eye."""
    if flag == "--decoded-image":
        if theirs.size != sound.size:
            return True
        off = np.asarray(theirs, np.float64) - np.asarray(sound, np.float64)
        return 255.0 / max(np.sqrt((off**2).mean()), 1e-9) < 10 ** (SEEN_DB / 20)
    if theirs.shape != sound.shape:
        return True
    # NaN is seen.
    return not float((theirs - sound).norm()) < SEEN_SHARE * float(sound.norm())


def arguments_for(mistake, folder, picture, draw):
    """The files that this pipeline's user has, one or several, and whether they show the mistake."""

    def run(planted):
        return run_pipeline(AutoencoderKL.from_pretrained(folder / "vae"), picture, planted, draw)

    sample, latents, saved = run(mistake)
    sound = dict(zip(("--preprocessed", "--latents", "--decoded-image"), run(NOTHING), strict=True))
    theirs = {"--preprocessed": sample, "--latents": latents, "--decoded-image": saved}
    kept = {
        "--decoded-image": lambda: keep_picture(saved, folder, draw),
        "--latents": lambda: keep_latents(latents, folder, draw),
        "--preprocessed": lambda: keep_tensor(sample, folder),
    }
    showing = {
        "fed": ["--preprocessed", "--latents", "--decoded-image"],
        "sample": ["--preprocessed", "--latents", "--decoded-image"],
        "latents": ["--latents", "--decoded-image"],
        "decode": ["--decoded-image"],
        "saved": ["--decoded-image"],
        "files": [],
    }[mistake.place]
    chosen = {draw.choice(showing)} if showing else set()
    chosen |= {flag for flag in kept if draw.random() < 0.5 and mistake.place != "files"}
    seen = any(is_seen(flag, theirs[flag], sound[flag]) for flag in chosen & set(showing))
    return [part for flag in kept if flag in chosen for part in (flag, str(kept[flag]()))], seen


def keep_tensor(sample, folder):
    path = folder / "preprocessed.npy"
    np.save(path, sample.numpy())
    return path


def checked(binary, number, mistake, draw, work):
    """One pipeline: what `check` found, by code and severity."""
    folder = work / str(number)
    for _ in range(DRAWS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        model, photo = draw.choice(sorted(TRAINED)), draw.choice(PHOTOGRAPHS)
        shutil.copytree(TRAINED[model], folder / "vae")
        picture = cut(photo, draw)
        picture.save(folder / "photo.png")
        if mistake.place == "files":
            mistake.change(folder / "vae", draw)
            given, seen = [], True
        else:
            given, seen = arguments_for(mistake, folder, picture, draw)
        if seen:
            break
    command = [binary, "check", str(folder / "photo.png"), "--repo", str(folder / "vae"), "--json", *given]
    command += ["--out", str(folder / "decoded.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1, 2):
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stderr}")
    report = json.loads(done.stdout.splitlines()[-1] if done.stdout else "{}")
    found = [(f["code"], f["severity"]) for f in report.get("findings", [])]
    flags = " ".join(part if part.startswith("--") else Path(part).name for part in given)
    return {"model": model, "photo": photo, "files": flags, "exit": done.returncode, "found": found}


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--binary", required=True, help="vae-fidelity")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--count", type=int, default=40)
    args = parser.parse_args()
    draws = random.Random(args.seed)
    torch.set_num_threads(2)
    logging.set_verbosity_error()
    mistakes = []
    while len(mistakes) < args.count:
        mistakes += draws.sample(MISTAKES, len(MISTAKES))
    named, of_two, wrong = 0, 0, Counter()
    with tempfile.TemporaryDirectory() as work:
        for number, mistake in enumerate(mistakes[: args.count]):
            row = checked(args.binary, number, mistake, random.Random(f"{args.seed} {number}"), Path(work))
            codes = [code for code, _ in row["found"]]
            hit = bool(codes) and codes[0] in mistake.codes
            named += hit
            of_two += not hit and bool(set(codes) & set(mistake.codes))
            blamed = [code for code, severity in row["found"][:1] if severity == "error" and not hit]
            wrong.update(blamed)
            found = ", ".join(f"{code} ({severity})" for code, severity in row["found"]) or "nothing"
            mark = "named " if hit else "WRONG " if blamed else "missed"
            where = f"{row['model']}, {row['photo']}, {row['files'] or 'no files'}"
            print(f"{mark} {mistake.name} [{where}; exit {row['exit']}]: {found}", flush=True)
    print(f"{named} of {args.count} named first; {of_two} more among the findings; another cause as an error: {wrong.total()}")
    sys.exit(named < LEAST_NAMED * args.count)


if __name__ == "__main__":
    main()
