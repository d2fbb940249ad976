"""Compares the frames of animations with Pillow's: RGB and RGBA of each, and its mode."""

import warnings

from PIL import Image

# More than any picture here has.
ALL = 1000


def of_pillow(path):
    """[(mode, width, height, RGB, RGBA)] of every frame, and Pillow's refusal of the next or None."""
    frames = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                while len(frames) < ALL:
                    try:
                        picture.seek(len(frames))
                    except EOFError:
                        break
                    rgb, rgba = picture.convert("RGB"), picture.convert("RGBA")
                    frames.append((picture.mode, *rgb.size, rgb.tobytes(), rgba.tobytes()))
    except Exception as error:  # whatever Pillow raises is its refusal
        return frames, f"{type(error).__name__}: {error}"
    return frames, None


def job(path):
    """What the example `pixels_dump` is asked."""
    return {"path": str(path), "frames": ALL}


def judge(name, expected, answer, raw, differences):
    """(verdict, text), as pillow.py has them; `differences` tells two sets of bytes apart."""
    frames, refusal = expected
    refused = name.startswith(("refused/", "unframed/"))
    if refusal:
        return ("both refuse", "") if "error" in answer else ("wrong", f"frames, while Pillow refuses: {refusal}")
    if "error" in answer:
        return "refused" if refused else "wrong", f"frames refused: {answer['error']}"
    if refused:
        return "wrong", "frames, while the README says they are refused"
    found, wanted = answer["frames"], [list(frame[:3]) for frame in frames]
    if found != wanted:
        return "wrong", f"{len(found)} frames {found[:3]}... instead of {len(wanted)} {wanted[:3]}..."
    if any("animated" in note for note in answer["notes"]):
        return "wrong", f"a frame says {answer['notes']}"
    at, problems = 0, []
    for number, (_, _, _, *parts) in enumerate(frames):
        for label, part in zip(("RGB", "RGBA"), parts):
            problem = differences(part, raw[at : at + len(part)])
            at += len(part)
            if problem:
                problems.append(f"frame {number} in {label}: {problem}")
    if at != len(raw):
        problems.append(f"{len(raw) - at} bytes too many")
    return ("wrong", f"{problems[0]} (and {len(problems) - 1} others)") if problems else ("exact", "")
