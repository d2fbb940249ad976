"""Times `vae-fidelity merge` of 64 shards, 50,000 rows in all, with the features of rFID.

    scripts/python.sh -m vae_fidelity_tools.measurement.evaluation_merge

Shards are real ones, of pictures of 8 x 8 pixels. InceptionV3 would take hours over them, so their features are random
numbers that this script writes beside the rows: what merge has to read, sort, write and sum up is as much. stdout is a
markdown table.

Exit code 2: could not be measured.
"""

import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from vae_fidelity_tools import arguments, checkout
from vae_fidelity_tools.checkout import MODELS
from vae_fidelity_tools.measurement.round_trips import machine, timed

FEATURES = 2048


def write_pictures(path, count, side=8):
    """As webdataset has them, all of noise."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for index in range(count):
            out = io.BytesIO()
            Image.fromarray(rng.integers(256, size=(side, side, 3), dtype=np.uint8)).save(out, "PNG")
            member = tarfile.TarInfo(f"{index:06}.png")
            member.size = out.tell()
            out.seek(0)
            archive.addfile(member, out)


def with_features(shard, rng):
    """Makes the folder of a shard one that was run with rFID's weights."""
    state = json.loads((shard / "evaluation.json").read_text())
    state["identity"]["metric_weights"].append({"metric": "rfid", "sha256": [64 * "0"]})
    (shard / "evaluation.json").write_text(json.dumps(state))
    pictures = json.loads((shard / "result.json").read_text())["pictures"]
    (shard / "features").mkdir()
    for name in ("input", "model-0"):
        values = rng.random((pictures, FEATURES), dtype=np.float32)
        np.save(shard / "features" / f"{name}.npy", values)


def main():
    parser = arguments.parser(__doc__)
    arguments.add_binary(parser, "cargo build --release")
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    binary = args.binary or checkout.binary("--release")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "pictures.tar"
        write_pictures(data, args.pictures)
        rng = np.random.default_rng(1)
        shards = [folder / f"shard-{index}" for index in range(args.shards)]
        for index, shard in enumerate(shards):
            print(f"shard {index + 1} of {args.shards}", file=sys.stderr)
            part = ["--shard", f"{index}/{args.shards}", "--out", shard]
            command = [binary, "evaluate", data, "--repo", MODELS / "builtin", "--engine", "fast", *part, "--json"]
            # No weights of another program.
            done = subprocess.run(command, capture_output=True, text=True, env={"TORCH_HOME": str(folder)})
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                sys.exit(2)
            with_features(shard, rng)
        figures = []
        for run in range(args.runs):
            figure, stdout = timed([binary, "merge", *shards, "--out", folder / f"merged-{run}", "--json"])
            figures.append(figure)
            report = json.loads(stdout)
            judged = (report["pictures"], report["errors"], report["models"][0]["metrics"]["rfid"] is not None)
            if judged != (args.pictures, 0, True):
                print(f"expected {args.pictures} pictures, no error and rFID, found {judged}", file=sys.stderr)
                sys.exit(2)
    median = {key: statistics.median(figure[key] for figure in figures) for key in figures[0]}
    print("| shards | rows | seconds | CPU seconds | peak MiB |\n|---|---|---|---|---|")
    cells = [args.shards, f"{args.pictures:,}", f"{median['wall_s']:.1f}", f"{median['cpu_s']:.1f}", f"{median['peak_mib']:.0f}"]
    print(f"| {' | '.join(map(str, cells))} |\n\n({machine()}; {args.runs} runs)")


if __name__ == "__main__":
    main()
