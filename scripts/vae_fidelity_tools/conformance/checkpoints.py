#!/usr/bin/env python3
"""Compares the checkpoints that the crate opens with what diffusers loads, bit for bit.

    scripts/python.sh -m vae_fidelity_tools.conformance.checkpoints [--only TEXT] [--dump COMMAND...]

Writes every layout of checkpoint_layouts.py with the real diffusers, torch and safetensors, loads
it with diffusers and opens it with `examples/checkpoint_dump.rs`: the names of all tensors, their
shapes, dtypes and bytes have to be the same. Then the other way round: files that were spoilt have
to be refused, and a comparison that is given a wrong bit has to fail. Exits 1 on any difference.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import diffusers
import torch

from vae_fidelity_tools import arguments
from vae_fidelity_tools.conformance import examples
from vae_fidelity_tools.conformance.checkpoint_layouts import DTYPES, job, layouts


def digest(tensor):
    raw = tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(raw).hexdigest()


def wanted(tensors, dtype):
    """Dtype, shape and hash of each tensor, as the dump prints them."""
    cast = {name: tensor.detach().to(DTYPES[dtype]) for name, tensor in tensors.items()}
    return {name: [dtype, list(tensor.shape), digest(tensor)] for name, tensor in cast.items()}


def differences(expected, answer, note=""):
    """What is wrong with an answer of the dump; empty when nothing is."""
    if "error" in answer:
        return [f"refused: {answer['error']}"]
    found = answer["tensors"]
    problems = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    problems += [f"{name} should not be there" for name in sorted(found.keys() - expected.keys())]
    for name in sorted(expected.keys() & found.keys()):
        if expected[name] != found[name]:
            problems.append(f"{name}: expected {expected[name]}, found {found[name]}")
    if note and not any(note in said for said in answer["notes"]):
        problems.append(f"no note says {note!r}: {answer['notes']}")
    return problems


def check_the_checker():
    """A comparison that cannot fail proves nothing: one bit, shape, dtype or name has to show."""
    tensors = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    expected = wanted(tensors, "f32")
    assert not differences(expected, {"tensors": wanted(tensors, "f32"), "notes": ["x y"]}, "y")
    spoilt = tensors["a"].clone()
    spoilt.view(torch.int32)[2] ^= 1
    for wrong in ({**tensors, "a": spoilt}, {**tensors, "b": torch.ones(4)}, {"a": tensors["a"]}, {**tensors, "c": spoilt}):
        assert differences(expected, {"tensors": wanted(wrong, "f32"), "notes": []})
    assert differences(expected, {"tensors": wanted(tensors, "f16"), "notes": []})
    assert differences(expected, {"tensors": wanted(tensors, "f32"), "notes": []}, "y")
    assert differences(expected, {"error": "no"})


def spoil(layout, tensors):
    """Changes one bit of a tensor in the layout's file."""
    raw = tensors["decoder.conv_in.weight"].to(DTYPES[layout.dtype]).numpy().tobytes()
    path = next(path for path in [layout.repo, *layout.repo.rglob("*")] if path.is_file() and raw in path.read_bytes())
    data = bytearray(path.read_bytes())
    data[data.index(raw)] ^= 1
    path.write_bytes(data)


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--only", default="", help="layouts whose name has this text")
    examples.add_dump(parser, "checkpoint_dump")
    args = parser.parse_args()
    command = args.dump or [examples.build("checkpoint_dump")["checkpoint_dump"]]
    check_the_checker()
    diffusers.utils.logging.set_verbosity_error()
    wrong = compared = 0
    with tempfile.TemporaryDirectory() as folder:
        written = []
        for number, (name, write) in enumerate(layouts()):
            if args.only in name:
                at = Path(folder, str(number))
                at.mkdir()
                layout = write(at)
                tensors = {key: tensor.detach().clone() for key, tensor in layout.load().items()}
                written.append((name, layout, tensors, wanted(tensors, layout.dtype)))
        answers = examples.ask(command, [job(layout) for _, layout, *_ in written])
        for (name, layout, _, expected), answer in zip(written, answers):
            problems = differences(expected, answer, layout.note)
            compared += len(expected)
            wrong += bool(problems)
            print(f"{'WRONG' if problems else 'same':6}{len(expected):4} tensors  {name}")
            for problem in problems[:5]:
                print(f"       {problem}")
        # A changed file must show, or the comparison looks at something else than the file.
        spoilt = [entry for entry in written if entry[0] == "folder, bin" or "ckpt" in entry[0]]
        for _, layout, tensors, _ in spoilt:
            spoil(layout, tensors)
        answers = examples.ask(command, [job(layout) for _, layout, *_ in spoilt])
        for (name, layout, _, expected), answer in zip(spoilt, answers):
            if len(differences(expected, answer, layout.note)) != 1:
                wrong += 1
                print(f"WRONG  one bit of one tensor of {name!r} was changed, and not one tensor differs")
    print(
        f"{len(written)} layouts, {compared} tensors compared with diffusers {diffusers.__version__}, torch {torch.__version__}; "
        f"{len(spoilt)} spoilt on purpose"
    )
    if not written:
        sys.exit("no layout has this name: nothing was compared")
    if wrong or (not spoilt and not args.only):
        sys.exit(f"{wrong} layouts are not what diffusers loads")


if __name__ == "__main__":
    main()
