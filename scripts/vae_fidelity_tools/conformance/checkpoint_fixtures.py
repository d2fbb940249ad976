#!/usr/bin/env python3
"""Writes tests/fixtures/checkpoints: small files of the real torch, safetensors and diffusers.

    scripts/python.sh -m vae_fidelity_tools.conformance.checkpoint_fixtures [--check]

`expected.json` has one SHA-256 a fixture over all tensors as diffusers loads them. The same versions
write the same bytes; `--check` writes nothing and exits 1 when they would differ.
"""

import contextlib
import hashlib
import json
import sys
import tempfile
import unittest.mock
from pathlib import Path

import diffusers
import torch

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT
from vae_fidelity_tools.conformance import checkpoint_layouts as layouts
from vae_fidelity_tools.conformance.checkpoints import wanted

FIXTURES = ROOT / "tests" / "fixtures" / "checkpoints"
LIMIT = 300_000


def with_old_names_in_f64(at):
    model = layouts.vae(seed=3)
    layout = layouts.old_names_folder(at, model, legacy=True)
    tensors = layouts.old_attention(layouts.cast(model.state_dict(), torch.float64))
    with numbered_storages():
        torch.save(tensors, at / f"{layouts.WEIGHTS}.bin", _use_new_zipfile_serialization=False)
    layout.note = "stored as f64"
    return layout


def variant_beside_bin(at):
    """Different weights in both, so that taking the wrong file shows."""
    layouts.folder(at, layouts.vae(seed=9), safe_serialization=False)
    return layouts.folder(at, layouts.vae(seed=2), "f16", "fp16")


def bin_only(at):
    return layouts.folder(at, layouts.vae(seed=9), safe_serialization=False)


def full(at):
    return layouts.full_checkpoint(at, layouts.vae(seed=4), "model.ckpt", "bf16")


def eight_bit_before(at):
    layout = layouts.eight_bit_file(at, layouts.vae(seed=6), torch.float8_e5m2, "vae.pt")
    tensors = torch.load(layout.repo)
    with numbered_storages():
        torch.save(tensors, layout.repo, _use_new_zipfile_serialization=False)
    return layout


# Name of the fixture, its writer; `bin` is only there for its hash, its file is in `variant`.
WRITERS = {
    "sharded": lambda at: layouts.folder(at, layouts.vae(seed=1), max_shard_size="10KB"),
    "variant": variant_beside_bin,
    "bin": bin_only,
    "old-names-f64": with_old_names_in_f64,
    "full": full,
    "ldm-e4m3": lambda at: layouts.eight_bit_file(at, layouts.vae(seed=5), torch.float8_e4m3fn, "vae.safetensors", "vae."),
    "e5m2-before-1.6": eight_bit_before,
    "scaled-e4m3": lambda at: layouts.scaled_file(
        at, layouts.vae(seed=7), torch.float8_e4m3fn, "vae.safetensors", prefix="first_stage_model."
    ),
}


@contextlib.contextmanager
def numbered_storages():
    """The older format names storages by their address in memory and sorts by it: number them."""
    numbers = {}
    number = property(lambda storage: numbers.setdefault(storage.data_ptr(), 100_000 + len(numbers)))
    with unittest.mock.patch.object(torch.UntypedStorage, "_cdata", number):
        yield


def combined(tensors, dtype):
    """One hash over names, dtypes, shapes and bytes, in the order of the names."""
    lines = (f"{name} {dtype} {shape} {digest}\n" for name, (dtype, shape, digest) in sorted(wanted(tensors, dtype).items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def fixtures():
    """Path and bytes of every file."""
    files, expected = {}, {"torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__, "sha256": {}}
    for name, write in WRITERS.items():
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            layout = write(at)
            expected["sha256"][name] = combined(layout.load(), layout.dtype)
            for path in sorted(at.rglob("*")):
                own = path.relative_to(at)
                if name == "bin" or not path.is_file() or own.parts[0] in ("given", "config-of-diffusers"):
                    continue
                files[f"{name}/{own}"] = path.read_bytes()
    model = tempfile.TemporaryDirectory()
    layouts.vae().save_config(model.name)
    files["config.json"] = Path(model.name, "config.json").read_bytes()
    files["expected.json"] = (json.dumps(expected, indent=2) + "\n").encode()
    return files


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--check", action="store_true", help="only compare with the files that are there")
    args = parser.parse_args()
    diffusers.utils.logging.set_verbosity_error()
    files = fixtures()
    size = sum(map(len, files.values()))
    if size > LIMIT:
        sys.exit(f"{size} bytes of fixtures, more than the {LIMIT} that a repository should carry")
    if args.check:
        there = {str(path.relative_to(FIXTURES)): path.read_bytes() for path in FIXTURES.rglob("*") if path.is_file()}
        differ = sorted(name for name in files.keys() | there.keys() if files.get(name) != there.get(name))
        if differ:
            sys.exit(f"these differ from what is written today: {', '.join(differ)}")
    else:
        for name, raw in files.items():
            path = FIXTURES / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
    print(f"{len(files)} files, {size} bytes, {'as' if args.check else 'written to'} {FIXTURES.name}")


if __name__ == "__main__":
    main()
