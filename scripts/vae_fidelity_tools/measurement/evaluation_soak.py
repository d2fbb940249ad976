"""Whether the memory of `vae-fidelity evaluate` is flat: many small pictures, its resident memory all along.

    scripts/python.sh -m vae_fidelity_tools.measurement.evaluation_soak

stdout is a markdown table: the median of what was resident in each fifth of the run. Exit code 1: the last fifth holds more
than `--most` MiB more than the second (the first is what memory is taken in); 2: could not be measured.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import MODELS
from vae_fidelity_tools.measurement.evaluation_merge import write_pictures
from vae_fidelity_tools.measurement.round_trips import machine

FIFTHS = 5
BETWEEN_SAMPLES_S = 0.5


def resident_mib(process):
    """`None` once the process has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
    return found[0] / 1024 if found else None


def main():
    parser = arguments.parser(__doc__)
    arguments.add_binary(parser, "cargo build --release")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--side", type=int, default=64, help="pixels [default: 64]")
    parser.add_argument("--most", type=float, default=32.0, help="MiB that memory may grow by [default: 32]")
    args = parser.parse_args()
    binary = args.binary or checkout.binary("--release")
    samples = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pictures(folder / "pictures.tar", args.pictures, args.side)
        command = [binary, "evaluate", folder / "pictures.tar", "--engine", "fast", "--repo", MODELS / "builtin"]
        started = time.perf_counter()
        with (folder / "stderr").open("w+") as stderr:
            process = subprocess.Popen([*command, "--out", folder / "out"], stdout=subprocess.DEVNULL, stderr=stderr)
            while process.poll() is None:
                samples.append(resident_mib(process))
                time.sleep(BETWEEN_SAMPLES_S)
            stderr.seek(0)
            if process.returncode:
                print(stderr.read()[-2000:], file=sys.stderr)
                sys.exit(2)
        seconds = time.perf_counter() - started
    samples = [sample for sample in samples if sample is not None]
    part = len(samples) // FIFTHS
    if part < 2:
        print("the run is too short: take more pictures", file=sys.stderr)
        sys.exit(2)
    medians = [statistics.median(samples[at * part : (at + 1) * part]) for at in range(FIFTHS)]
    print(f"| pictures | a second | {' | '.join(f'MiB, fifth {at + 1}' for at in range(FIFTHS))} | most |")
    print("|---|---|" + "---|" * (FIFTHS + 1))
    cells = [f"{args.pictures:,}", f"{args.pictures / seconds:.0f}", *(f"{of:.0f}" for of in medians), f"{max(samples):.0f}"]
    print(f"| {' | '.join(cells)} |\n\n({machine()}; {args.side} x {args.side} pixels)")
    return 1 if medians[-1] - medians[1] > args.most else 0


if __name__ == "__main__":
    sys.exit(main())
