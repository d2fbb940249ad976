"""The pictures that the built-in VAE is trained on, and those that it is measured on, which are none of them.

The photographs come from Debian packages, fetched with apt-get and unpacked into a folder that git
ignores.
"""

import multiprocessing
import random
import shutil
import string
import subprocess
import sys
import warnings

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vae_fidelity_tools.checkout import ROOT
from vae_fidelity_tools.pictures.photographs import photograph

CACHE = ROOT / "target" / "train-data"
HELD_OUT = ("astronaut", "coffee", "chelsea", "rocket", "china", "flower")

# Debian package: (where its pictures lie, share of the crops taken from it).  Versions and licences
# of those that the stored weights come from are in golden/models/builtin/README.md.
PACKAGES = {
    "gnome-backgrounds": ("usr/share/backgrounds/gnome", 1),
    "mate-backgrounds": ("usr/share/backgrounds/mate", 3),
    "ukui-wallpapers": ("usr/share/backgrounds", 2),
    "plasma-workspace-wallpapers": ("usr/share/wallpapers", 8),
    "lomiri-wallpapers-16.04": ("usr/share/backgrounds", 6),
    "lomiri-wallpapers-20.04": ("usr/share/backgrounds", 1),
    "palapeli-data": ("usr/share/palapeli/collection", 3),
    "gnome-taquin": ("usr/share/gnome-taquin/themes/cats", 3),
    "gnome-control-center-data": ("usr/share/pixmaps/faces", 8),
    "kphotoalbum": ("usr/share/kphotoalbum/demo", 10),
    "pysiogame": ("usr/share/games/pysiogame/res/images/art4apps", 4),
    "scratch": ("usr/share/scratch/Media/Backgrounds", 8),
    "endless-sky-data": ("usr/share/games/endless-sky/images/land", 20),
    "tuxpaint-stamps-default": ("usr/share/tuxpaint/stamps", 10),
}
DRAWN_SHARE = 4  # lines, flat shapes and text, which draw_picture draws
SIDES = (400, 256, 160)  # every picture is kept at these short sides, where it is large enough
SIDE_WEIGHTS = (0.3, 0.5, 0.2)


def fetch_packages():
    """Download and unpack the packages that are not there yet; return {package: version}."""
    debs, roots = CACHE / "debs", CACHE / "root"
    debs.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    missing = [p for p in PACKAGES if not list(debs.glob(f"{p}_*.deb"))]
    if missing:
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            sys.exit(
                "the training photographs come from Debian packages: apt-get and dpkg are "
                "needed, and this machine lacks them (run this on Debian or a derivative)"
            )
        print("downloading", ", ".join(missing), flush=True)
        if subprocess.run(["apt-get", "download", *missing], cwd=debs).returncode:
            sys.exit("apt-get download failed (see above); 'apt-get update' may help")
    versions = {}
    for package in PACKAGES:
        deb = max(debs.glob(f"{package}_*.deb"))
        versions[package] = deb.name.split("_")[1].replace("%3a", ":")
        if not (roots / package).is_dir():
            fresh = roots / f".{package}"
            fresh.mkdir(parents=True, exist_ok=True)
            subprocess.run(["dpkg", "-x", deb, fresh], check=True)
            fresh.rename(roots / package)
    return versions


def list_pictures():
    """[(package, path)]: photographs, each wallpaper once (its largest file)."""
    found = []
    for package, (folder, _) in PACKAGES.items():
        largest = {}
        for path in sorted((CACHE / "root" / package / folder).rglob("*")):
            if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp") or path.is_symlink():
                continue
            size = path.stat().st_size
            if package.startswith("tuxpaint") and size < 60_000:
                continue  # small stamps are cartoons
            key = path.parent if package.startswith("plasma") else path
            if size > largest.get(key, (0, None))[0]:
                largest[key] = (size, path)
        found += [(package, path) for _, path in largest.values()]
    return found


def scales_of(picture):
    """[(weight, uint8 array)]: the picture at several sizes; nothing if it is small or a strip."""
    short = min(picture.size)
    if short < 96 or max(picture.size) > 6 * short:
        return []
    sizes = [(w, [max(s, round(n * s / short)) for n in picture.size]) for s, w in zip(SIDES, SIDE_WEIGHTS) if s <= short]
    if short < SIDES[1]:
        sizes.append((SIDE_WEIGHTS[1], picture.size))
    return [(w, np.asarray(picture.resize(s, Image.Resampling.LANCZOS))) for w, s in sizes]


def load_picture(job):
    package, path = job
    warnings.simplefilter("ignore")
    with Image.open(path) as picture:
        picture.draft("RGB", (800, 800))
        if picture.mode in ("RGBA", "LA", "P", "PA"):  # transparent: onto a plain colour
            picture = picture.convert("RGBA")
            ground = tuple(random.Random(path.name).choices(range(256), k=3))
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, ground), picture)
        return package, scales_of(picture.convert("RGB"))


def draw_picture(seed):
    """A picture of flat shapes, lines and text in saturated colours."""
    rng = random.Random(seed)

    def colour():
        return tuple(rng.choice((0, 255, rng.randrange(256))) for _ in range(3))

    picture = Image.composite(
        Image.new("RGB", (256, 256), colour()),
        Image.new("RGB", (256, 256), colour()),
        Image.linear_gradient("L").rotate(rng.choice((0, 90, 180))),
    )
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.randrange(3, 14)):
        x, y = rng.randrange(-30, 240), rng.randrange(-30, 240)
        box = (x, y, x + rng.randrange(8, 150), y + rng.randrange(8, 150))
        kind = rng.randrange(4)
        if kind == 0:
            pen.rectangle(box, fill=colour())
        elif kind == 1:
            pen.ellipse(box, fill=colour(), outline=colour(), width=rng.randrange(1, 6))
        elif kind == 2:
            pen.line(box, fill=colour(), width=rng.randrange(1, 8))
        else:
            letters = "".join(rng.choices(string.ascii_letters + string.digits + " ", k=14))
            pen.text((x, y), letters, colour(), ImageFont.load_default(rng.randrange(11, 48)))
    return picture


def load_training_set():
    """(list of pictures, each a list of (weight, array); probability of each picture)"""
    jobs = list_pictures()
    with multiprocessing.Pool(2) as pool:
        loaded = [(p, s) for p, s in pool.imap(load_picture, jobs, chunksize=8) if s]
    counts = {p: sum(q == p for q, _ in loaded) for p in PACKAGES}
    print("pictures:", counts, flush=True)
    pictures = [s for _, s in loaded]
    chances = [PACKAGES[p][1] / counts[p] for p, _ in loaded]
    for seed in range(200):
        pictures.append(scales_of(draw_picture(seed)))
        chances.append(DRAWN_SHARE / 200)
    total = sum(chances)
    return pictures, [c / total for c in chances]


def held_out():
    """{name: uint8 array 256x256x3}, centre-cropped to a square and resized bicubically."""
    pictures = {}
    for name in HELD_OUT:
        picture = photograph(name)
        side = min(picture.size)
        x, y = (picture.width - side) // 2, (picture.height - side) // 2
        picture = picture.crop((x, y, x + side, y + side))
        pictures[name] = np.asarray(picture.resize((256, 256), Image.Resampling.BICUBIC))
    return pictures
