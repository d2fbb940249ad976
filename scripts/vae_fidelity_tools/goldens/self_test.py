"""Proves that the writer refuses what it must, before it is trusted to say that all is equal."""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from vae_fidelity_tools.goldens import block_tensors
from vae_fidelity_tools.goldens.reference_script import Run, WrongGist, load_gist
from vae_fidelity_tools.goldens.store import (
    UNIT,
    BelowOneStep,
    Degenerate,
    difference,
    refuse_degenerate,
    step,
    tensors_of,
    tolerance,
    write_case,
)  # fmt: skip


def plausible_run():
    random = np.random.default_rng(0)

    def normal(*shape):
        return random.standard_normal(shape).astype(np.float32) * np.float32(0.4)

    return Run(
        sample=normal(1, 3, 16, 16),
        moments=normal(1, 8, 2, 2),
        latents=normal(1, 4, 2, 2),
        decoded=normal(1, 3, 16, 16),
        picture=Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)),
    )


def expect(kind, action, why):
    try:
        action()
    except kind:
        return
    raise AssertionError(f"self-test: {why} was not refused")


def refuses_another_gist(gist_path):
    with tempfile.TemporaryDirectory() as folder:
        edited = Path(folder) / "edited.py"
        edited.write_bytes(Path(gist_path).read_bytes() + b"\n")
        expect(WrongGist, lambda: load_gist(edited), "a gist with one more newline")


def refuses_degenerate_output():
    refuse_degenerate("plausible", plausible_run())
    for tensor, value, why in [
        ("decoded", 0.25, "a constant picture"),
        ("decoded", 40.0, "a clipped picture"),
        ("latents", 1.0, "constant latents"),
        ("moments", np.nan, "a NaN"),
    ]:
        run = plausible_run()
        values = getattr(run, tensor)
        if value == 40.0:
            values *= np.float32(value)
        else:
            values[0, 0] = value
        expect(Degenerate, lambda: refuse_degenerate("planted", run), why)


def sees_one_bit():
    run = plausible_run()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "case"
        rows = write_case(folder, run)
        for name, tensor in tensors_of(run).items():
            assert difference(folder, name, rows[name], tensor, None) is None, name
            changed = tensor.copy()
            changed.reshape(-1).view(np.uint8)[0] ^= 1
            assert difference(folder, name, rows[name], changed, None), f"self-test: a flipped bit in {name} passed"
        (folder / "latents.safetensors").write_bytes((folder / "latents.safetensors").read_bytes()[:-1] + b"\0")
        wrong = [difference(folder, name, rows[name], getattr(run, name), None) for name in ("moments", "latents")]
        assert any(wrong), "self-test: an edited file passed"


def sees_one_bit_between_blocks():
    random = np.random.default_rng(1)
    picture, hidden, latents = (random.standard_normal((1, 3, 4, side)).astype(np.float32) for side in (8, 4, 2))
    stages = {
        "encode": [("encoder.conv_in", picture, hidden), ("encoder", picture, latents)],
        "decode": [("decoder.conv_out", latents, hidden)],
    }
    with tempfile.TemporaryDirectory() as temporary:
        row = block_tensors.write(Path(temporary), stages)
        assert row["encode"][1]["input"] == "encoder.conv_in.input", "self-test: one tensor is stored twice"
        loose = {"atol": 1e-4, "rtol": 0.0}
        for tolerance in (None, loose):
            assert block_tensors.difference(Path(temporary), row, stages, tolerance) is None
        for which in (1, 2):
            for change, tolerance in ((np.float32(1e-7), None), (np.float32(1e-2), loose)):
                changed = list(stages["encode"][0])
                changed[which] = changed[which] + change
                spoiled = {**stages, "encode": [tuple(changed), stages["encode"][1]]}
                found = block_tensors.difference(Path(temporary), row, spoiled, tolerance)
                assert found, f"self-test: a block that is off by {change} passed"
        file = Path(temporary) / row["file"]
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
        assert block_tensors.difference(Path(temporary), row, stages, loose), "self-test: an edited file passed"


def refuses_less_than_one_step():
    for dtype in UNIT:
        for value, expected in ((1.0, UNIT[dtype]), (-8.4375, 8 * UNIT[dtype]), (0.3, UNIT[dtype] / 4)):
            assert step(dtype, value) == expected, f"self-test: a step of {dtype} at {value}"
        row = {"tensor": "moments", "dtype": dtype, "device": "cpu", "atol": 1.0, "rtol": UNIT[dtype]}
        assert tolerance({"rows": [row]}, "moments", "any", dtype) is row
        row["rtol"] *= 0.999
        expect(BelowOneStep, lambda: tolerance({"rows": [row]}, "moments", "any", dtype), f"less than a step of {dtype}")


def run(gist_path):
    refuses_another_gist(gist_path)
    refuses_degenerate_output()
    refuses_less_than_one_step()
    sees_one_bit()
    sees_one_bit_between_blocks()
    print("self-test: another gist, degenerate output and less than one step are refused, a flipped bit is seen")
