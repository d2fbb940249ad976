"""Whole tensors at the cut points of a small model: what each block was given, and what it made of it.

With them a block of a port can be run alone on the reference's input, which tells a block that is
wrong from one that was given something wrong. golden/README.md describes the file.
"""

import json
import re
from contextlib import contextmanager

import numpy as np
from safetensors.numpy import load_file, save

from vae_fidelity_tools.goldens.store import sha256
from vae_fidelity_tools.goldens.trace import KINDS, one_frame

FILE = "blocks.safetensors"
LARGEST_SIDE = 32
BLOCK = re.compile(
    r"(encoder|decoder)(\.(conv_in|(conv_)?norm_out|conv_out|(down|up)_blocks\.\d+|mid_block(\.(resnets|attentions)\.\d+)?))?"
    r"|(post_)?quant_conv|(encoder|decoder)\.layers(\.\d+)?"
)


@contextmanager
def recorded(vae):
    """Collects (module, input, output) of each block that finishes, in that order."""
    blocks, handles = [], []

    def listen(name):
        return lambda module, inputs, output: blocks.append((name, array(inputs[0]), array(output)))

    for name, module in vae.named_modules():
        if BLOCK.fullmatch(name) and type(module).__name__ in KINDS:
            handles.append(module.register_forward_hook(listen(name)))
    try:
        yield blocks
    finally:
        for handle in handles:
            handle.remove()


def array(tensor):
    """A copy: a later layer may work in place."""
    return np.array(one_frame(tensor).detach().cpu().float().numpy(), order="C")


def tensors_and_rows(stages):
    """Each different tensor once, by name, and for each stage which block has which of them.

    Outputs are named after their module. An input that is no block's output is named after the block
    that is given it, with `.input` appended.
    """
    tensors, names, rows = {}, {}, {}

    def named(tensor, name):
        key = (tensor.shape, sha256(tensor))
        if key not in names:
            names[key], tensors[name] = name, tensor
        return names[key]

    for stage, blocks in stages.items():
        # Outputs first, and the last of equal ones: a mid block's output is its last layer's.
        outputs = {name: named(output, name) for name, _, output in blocks}
        rows[stage] = [
            {"module": name, "input": named(given, f"{name}.input"), "output": outputs[name]} for name, given, _ in blocks
        ]
    return tensors, rows


def write(folder, stages):
    """Writes the file into the case's `folder`; returns the manifest's entry."""
    tensors, rows = tensors_and_rows(stages)
    largest = max(tensors[row["input"]].shape[-1] for row in rows["encode"])
    assert largest <= LARGEST_SIDE, f"{folder}: blocks are kept of pictures of at most {LARGEST_SIDE} pixels a side"
    (folder / FILE).write_bytes(save(tensors))
    return {"file": FILE, "sha256": sha256(np.frombuffer((folder / FILE).read_bytes(), np.uint8)), **rows}


def difference(folder, row, stages, tolerance):
    """What is wrong with the stored blocks, or None; a tolerance of None asks for equal bits."""
    tensors, rows = tensors_and_rows(stages)
    listed = {stage: [block["module"] for block in row[stage]] for stage in rows}
    if listed != {stage: [block["module"] for block in rows[stage]] for stage in rows}:
        return "blocks: other modules"
    stored = load_file(folder / row["file"])
    if sha256(np.frombuffer((folder / row["file"]).read_bytes(), np.uint8)) != row["sha256"]:
        return f"blocks: {row['file']} is not the file that the manifest hashed"
    for stage in rows:
        for old, new in zip(row[stage], rows[stage]):
            for which in ("input", "output"):
                expected, actual = stored[old[which]], tensors[new[which]]
                said = f"blocks: {which} of {old['module']} differs"
                if expected.shape != actual.shape:
                    return said
                if tolerance is None:
                    if sha256(expected) != sha256(actual):
                        return said
                    continue
                allowed = tolerance["atol"] * expected.std(dtype=np.float64) + tolerance["rtol"] * np.abs(expected)
                if not (np.abs(expected.astype(np.float64) - actual) <= allowed).all():
                    return f"{said} beyond {json.dumps(tolerance)}"
    return None
