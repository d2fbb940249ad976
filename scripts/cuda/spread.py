"""How far the gist lands from the goldens on this GPU: what tolerances for GPUs are derived from.

    spread.py --gist debug_diffusion_vae.py --out F.json

Runs the gist's functions in f32 (without TF32, which NVIDIA_TF32_OVERRIDE=0 sees to), f16 and bf16 on the
golden cases, each step from the goldens, as cases are judged. F.json is for scripts/vae_fidelity_tools/measurement/tolerances.py
--cuda; the last line of stdout is its summary.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ["VAE_FIDELITY_GIST_DEVICE"] = "cuda"  # before reference_script is imported

import torch

from vae_fidelity_tools.checkout import GOLDEN
from vae_fidelity_tools.goldens import reference_script
from vae_fidelity_tools.goldens.cases import FULL_MODELS
from vae_fidelity_tools.goldens.recipe import repository
from vae_fidelity_tools.goldens.spread import MEASURED, goldens, pairs, take
from vae_fidelity_tools.goldens.tolerances import Spread, short

# Of the full graphs, whose weights take seconds to make.
FULL = ("sd-v1-4-96x64", "sd3-96x64")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gist", required=True)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    cases = [case for case in MEASURED if case.model not in FULL_MODELS or case.name in FULL]
    cases.sort(key=lambda case: (case.model, case.dtype))
    stored, start = goldens(cases)
    gist, spreads, loaded = reference_script.load_gist(args.gist), {}, None
    machine = f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}, without TF32"
    with tempfile.TemporaryDirectory() as temporary:
        for case in cases:
            if (case.model, case.dtype) != loaded:
                vae, loaded = None, (case.model, case.dtype)
                vae = reference_script.load_vae(gist, repository(case.model_folder, temporary), case.dtype)
            run = reference_script.run(gist, vae, GOLDEN / "images", case, start[case.name])
            for tensor, expected, actual in pairs(stored[case.name], run):
                if tensor in ("sample", "noise"):
                    continue  # a GPU draws other numbers; samples are judged bit by bit
                before = spreads.get((case.name, tensor), Spread())
                spreads[case.name, tensor] = take(before, expected, actual, case.dtype, machine)
    rows = [[*key, short(s.max_abs), short(s.excess), short(s.share)] for key, s in spreads.items()]
    args.out.write_text(json.dumps({"machine": machine, "rows": rows}))
    worst = {}
    for (name, tensor), spread in spreads.items():
        key = f"{tensor.split(' ')[0]}"
        worst[key] = max(worst.get(key, (0.0, "")), (spread.max_abs, name))
    print(json.dumps({"cases": len(cases), "rows": len(rows), "largest": worst}))


if __name__ == "__main__":
    main()
