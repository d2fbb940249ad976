#!/usr/bin/env python3
"""Compares the crate's pixels with Pillow's, byte by byte.

    scripts/python.sh -m vae_fidelity_tools.conformance.pillow [--quick] [FOLDER...]
    scripts/python.sh -m vae_fidelity_tools.conformance.pillow --write-expected

Without folders: golden/images, a generated corpus of every format and mode, and the photographs that
scikit-image and scikit-learn carry; with folders, the files in them. Each is opened, converted to
RGB and resized to several sizes, and to RGBA and resized to two; each frame of an animation is converted
to both. Prints every difference, and a line for each format. Exits 1 when anything differs that the README
calls exact (in the corpus: all but `inexact/`), or is refused that it says is read (all but `refused/`, and
of frames `unframed/`), and when nothing was compared.

`--write-expected` writes golden/images/expected.json, from Pillow alone.
"""

import hashlib
import itertools
import json
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import PIL
import skimage
import sklearn
from PIL import Image

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import IMAGES
from vae_fidelity_tools.conformance import examples, pillow_frames
from vae_fidelity_tools.pictures.animations import animations
from vae_fidelity_tools.pictures.corpus import corpus

PILLOW = "13.0.0"
# Pictures larger than this are resized to the gist's size and to one other only.
LARGE = 100_000


def gist_size(width, height):
    """The size that the gist picks without --width and --height."""
    return max(8, width // 8 * 8), max(8, height // 8 * 8)


def target_sizes(width, height):
    """Up, down, one axis only, both orders of the passes, one pixel, very wide, very tall."""
    if width * height > LARGE:
        return [gist_size(width, height), (width // 3, height // 2 + 1)]
    sizes = [
        gist_size(width, height),
        (width * 2 + 3, height * 2 + 1),
        (width // 2, height // 2),
        (width, height // 3),
        (width // 3, height),
        (width, height + 5),
        (width + 5, height),
        (width * 3, height // 4),
        (width // 4, height * 3),
        (width // 2, height // 7),
        (1, 1),
        (300, 2),
        (2, 300),
    ]
    # Where the order of the passes flips: rows gone against twice the columns gone.
    gone = max(1, min(width // 4, height // 8))
    sizes += [(width - gone, height - 2 * gone + d) for d in (-1, 0, 1)]
    return list(dict.fromkeys((max(1, w), max(1, h)) for w, h in sizes))


def pillow(path, sizes_for):
    """(format, mode, width, height, sizes, bytes of each), or Pillow's refusal as a string."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                format, mode = picture.format, picture.mode
                rgb, rgba = picture.convert("RGB"), picture.convert("RGBA")
    except Exception as error:  # whatever Pillow raises is its refusal
        return f"{type(error).__name__}: {error}"
    sizes = sizes_for(*rgb.size)
    parts = [rgb.tobytes()] + [rgb.resize(size, Image.Resampling.BICUBIC).tobytes() for size in sizes]
    parts += [rgba.tobytes()] + [rgba.resize(size, Image.Resampling.BICUBIC).tobytes() for size in rgba_sizes(sizes)]
    return format, mode, *rgb.size, sizes, parts


def rgba_sizes(sizes):
    """Two of them that are larger and smaller, or both smaller."""
    return sizes[1:3]


def differences(expected, actual):
    """'' when the bytes are equal, else how they differ."""
    if len(expected) != len(actual):
        return f"{len(actual)} bytes instead of {len(expected)}"
    a, b = np.frombuffer(expected, np.uint8).astype(int), np.frombuffer(actual, np.uint8)
    gap = np.abs(a - b)
    return f"{(gap > 0).mean():.4%} of the bytes differ, by {gap.max()} at most" if gap.any() else ""


def check_the_checker():
    """A comparison that cannot fail proves nothing: one byte off by one has to show."""
    data = bytes(range(256))
    assert differences(data, data) == ""
    assert "by 1 at most" in differences(data, data[:100] + b"\x65" + data[101:])
    assert differences(data, data[:-1])


def judge(name, judged, answer, raw):
    """(verdict, text): exact, inexact, refused, both refuse, or wrong."""
    if isinstance(judged, str):
        if "error" in answer:
            return "both refuse", ""
        return "wrong", f"opened, while Pillow refuses it: {judged}"
    format, mode, width, height, sizes, parts = judged
    if "error" in answer:
        return ("refused" if name.startswith("refused/") else "wrong"), f"refused: {answer['error']}"
    if name.startswith("refused/"):
        return "wrong", "opened, while the README says it is refused"
    found = (answer["format"], answer["mode"], answer["width"], answer["height"])
    wanted = ("JPEG" if format == "MPO" else format, mode, width, height)
    if found != wanted:
        return "wrong", f"{found} instead of {wanted}"
    at, problems = 0, []
    labels = ["opened"] + [f"{w} x {h}" for w, h in sizes]
    labels += ["RGBA"] + [f"RGBA, {w} x {h}" for w, h in rgba_sizes(sizes)]
    for label, part in zip(labels, parts, strict=True):
        problem = differences(part, raw[at : at + len(part)])
        at += len(part)
        if problem:
            problems.append(f"{label}: {problem}")
    if at != len(raw):
        problems.append(f"{len(raw) - at} bytes too many")
    if not problems:
        return "exact", ""
    text = problems[0] + (f" (and {len(problems) - 1} other sizes)" if len(problems) > 1 else "")
    return ("inexact" if name.startswith("inexact/") else "wrong"), text


def pictures(args, folder):
    """(name, path) of every picture to compare."""
    if args.folders:
        for root in map(Path, args.folders):
            yield from ((str(path), path) for path in sorted(root.rglob("*")) if path.is_file())
        return
    for path in sorted(IMAGES.iterdir()):
        if path.suffix not in (".json", ".md"):
            yield f"golden/{path.name}", path
    for number, (name, data) in enumerate(itertools.chain(corpus(args.quick), animations(args.quick))):
        path = folder / f"{number}-{name.replace('/', '-')}"
        path.write_bytes(data)
        yield name, path
    for package in (skimage, sklearn):
        root = Path(package.__file__).parent
        for path in sorted(root.rglob("*")):
            if path.suffix in (".png", ".jpg", ".gif", ".tif") and (not args.quick or path.stat().st_size < 100_000):
                yield f"{package.__name__}/{path.name}", path


def frames_to_compare(path):
    """What Pillow makes of the frames of a file that has several, or refuses to have them; else None."""
    if path.suffix not in (".gif", ".png", ".webp"):
        return None
    frames, refusal = pillow_frames.of_pillow(path)
    return (frames, refusal) if len(frames) > 1 or frames and refusal else None


def compare(args):
    check_the_checker()
    counts, wrong = defaultdict(Counter), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        found = list(pictures(args, folder))
        judged = [pillow(path, target_sizes) for _, path in found]
        sizes = [[] if isinstance(expected, str) else expected[4] for expected in judged]
        jobs = [{"path": str(path), "sizes": sizes, "rgba_sizes": rgba_sizes(sizes)} for (_, path), sizes in zip(found, sizes)]
        animated = [(name, path, of_pillow) for name, path in found if (of_pillow := frames_to_compare(path))]
        jobs += [pillow_frames.job(path) for _, path, _ in animated]
        raw_folder = folder / "raw"
        raw_folder.mkdir()
        command = args.dump or [examples.build("pixels_dump")["pixels_dump"]]
        answers = examples.ask([*command, str(raw_folder)], jobs)
        comparisons = frames = 0
        for number, ((name, _), expected, answer) in enumerate(zip(found, judged, answers)):
            raw = (raw_folder / f"{number}.rgb").read_bytes()
            verdict, text = judge(name, expected, answer, raw)
            comparisons += 0 if isinstance(expected, str) else len(expected[5])
            counts[expected[0] if not isinstance(expected, str) else "(Pillow refuses)"][verdict] += 1
            wrong += verdict == "wrong"
            if text and (verdict != "refused" or args.verbose):
                print(f"{verdict:8} {name}: {text}")
            if args.verbose and isinstance(expected, str):
                print(f"{verdict:8} {name}: Pillow: {expected}; here: {answer.get('error')}")
        for number, (name, path, expected) in enumerate(animated, len(found)):
            raw = (raw_folder / f"{number}.rgb").read_bytes()
            verdict, text = pillow_frames.judge(name, expected, answers[number], raw, differences)
            frames += len(expected[0]) if verdict == "exact" else 0
            counts[f"frames, {path.suffix[1:].upper()}"][verdict] += 1
            wrong += verdict == "wrong"
            if text and (verdict != "refused" or args.verbose):
                print(f"{verdict:8} {name}: {text}")
    for format, verdicts in sorted(counts.items()):
        print(f"{format:18}", ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    print(f"{len(found)} pictures, {comparisons} sets of pixels compared with Pillow {PIL.__version__}")
    print(f"{len(animated)} animations, {frames} frames of them exact")
    if not found:
        sys.exit("no pictures: nothing was compared")
    if wrong:
        sys.exit(f"{wrong} pictures are not what Pillow makes of them")


def write_expected():
    """SHA-256 of Pillow's RGB bytes for each golden image, as opened and at several sizes."""
    expected = {}
    for path in sorted(IMAGES.iterdir()):
        if path.suffix in (".json", ".md"):
            continue
        format, mode, width, height, sizes, parts = pillow(path, target_sizes)
        digests = [hashlib.sha256(part).hexdigest() for part in parts]
        entry = {"format": format, "mode": mode, "width": width, "height": height, "rgb": digests[0]}
        entry["resized"] = [[w, h, digest] for (w, h), digest in zip(sizes, digests[1:])]  # RGBA's lie behind
        expected[path.name] = entry
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in expected.items())
    text = f'{{"pillow": "{PIL.__version__}", "images": {{\n{lines}\n}}}}\n'
    (IMAGES / "expected.json").write_text(text)
    print(f"{len(expected)} images in {IMAGES / 'expected.json'}")


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--quick", action="store_true", help="fewer shapes and no large photographs")
    parser.add_argument("--verbose", action="store_true", help="print what both sides refuse, too")
    parser.add_argument("--write-expected", action="store_true")
    examples.add_dump(parser, "pixels_dump")
    args = parser.parse_args()
    if PIL.__version__ != PILLOW:
        sys.exit(f"expected Pillow {PILLOW}, found {PIL.__version__}: install that version, other ones give other pixels")
    write_expected() if args.write_expected else compare(args)


if __name__ == "__main__":
    main()
