"""Compares this crate's random numbers with those of torch, bit by bit.

    scripts/python.sh -m vae_fidelity_tools.conformance.random_numbers            a million draws in each dtype, and small tensors
    scripts/python.sh -m vae_fidelity_tools.conformance.random_numbers --print    rows for crates/core/src/random/torch_draws.txt

The Rust side is examples/random_dump.rs. ATEN_CPU_CAPABILITY=default shows what torch draws on a
processor without AVX2. Exits 1 where any bit differs.
"""

import subprocess
import sys

import numpy
import torch

from vae_fidelity_tools import arguments
from vae_fidelity_tools.conformance import examples

DTYPES = ["float32", "float16", "bfloat16"]
SEEDS = [0, 42, -1, -(2**63), 2**64 - 1, 2**63 + 5, 2**32 + 42]
MILLION = 1_000_000


def drawn_by_torch(dtype, length, seed):
    """Values as float32, which holds the others exactly."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(length, generator=generator, dtype=getattr(torch, dtype)).float().numpy()


def print_rows():
    print(f"# torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}: dtype, length,")
    print("# seed, and the last 20 values of torch.randn as bits of float32.")
    for dtype in DTYPES:
        for length in [1, 2, 3, 15, 16, 17, 31, 32, 33, 60, 100, 1000]:
            for seed in SEEDS if length in (3, 60) else [42, -1]:
                bits = drawn_by_torch(dtype, length, seed)[-20:].view(numpy.uint32)
                print(dtype, length, seed, *(f"{word:x}" for word in bits))


def check():
    asked = [(dtype, MILLION, seed) for dtype in DTYPES for seed in (1, 2**40 + 7)]
    asked += [(dtype, length, seed) for dtype in DTYPES for length in range(1, 301) for seed in SEEDS]
    lines = "".join(f"{dtype} {length} {seed}\n" for dtype, length, seed in asked)
    ran = subprocess.run([examples.build("random_dump")["random_dump"]], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    found = numpy.frombuffer(ran.stdout, dtype="<f4")
    start, failed = 0, 0
    small = {dtype: [0, 0] for dtype in DTYPES}
    for dtype, length, seed in asked:
        expected, ours = drawn_by_torch(dtype, length, seed), found[start : start + length]
        start += length
        other = int((expected.view(numpy.uint32) != ours.view(numpy.uint32)).sum())
        failed += other
        if length == MILLION:
            most = numpy.abs(expected.astype(float) - ours).max()
            print(f"{dtype}, {length} values, seed {seed}: {other} differ, by at most {most:.1e}")
        else:
            small[dtype][0] += length
            small[dtype][1] += other
    for dtype, (values, other) in small.items():
        print(f"{dtype}, tensors of 1 to 300 values, {values} in all: {other} differ")
    if start != len(found):
        sys.exit(f"expected {start} values, found {len(found)}")
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}")
    if failed:
        sys.exit("they are not torch's; on a processor without AVX2 last bits may differ")


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--print", action="store_true", help="rows for crates/core/src/random/torch_draws.txt")
    if parser.parse_args().print:
        print_rows()
    else:
        check()


if __name__ == "__main__":
    main()
