#!/usr/bin/env python3
"""InceptionV3's features and Fréchet distances as pytorch-fid and torch-fidelity compute them, beside crates/perceptual.

    scripts/python.sh -m vae_fidelity_tools.conformance.inception            # crates/perceptual/tests/inception.json is theirs
    scripts/python.sh -m vae_fidelity_tools.conformance.inception --write    # writes it

torch-fidelity's kernel distance, precision and recall, too.

The weights are golden/README.md's recipe, by the names of both packages' files.
"""

import json
import sys

import numpy as np
import pytorch_fid.fid_score
import pytorch_fid.inception
import torch
import torch_fidelity.feature_extractor_inceptionv3 as torch_fidelity_inception
import torch_fidelity.metric_fid
from torch_fidelity import metric_kid, metric_prc

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import ROOT
from vae_fidelity_tools.goldens.recipe import values

GOLDEN = ROOT / "crates" / "perceptual" / "tests" / "inception.json"
SIZES = [(299, 299), (256, 256), (64, 96), (512, 320)]
# Features that are kept of each picture.
KEPT = 32
# What kernels of other processors may move in f32, of the largest feature, and of a distance.
TOLERANCE = 1e-4


def by_recipe(empty):
    """The state dict of a network, all of whose values follow from their names."""
    floats = {name: tensor for name, tensor in empty.items() if tensor.is_floating_point()}
    state = {name: torch.from_numpy(values(name, list(tensor.shape))) for name, tensor in floats.items()}
    # Or little of a picture would be left after 48 layers.
    return {**empty, **{name: of + 0.5 if name.endswith("bn.weight") else of for name, of in state.items()}}


class OfRecipe(torch_fidelity_inception.FeatureExtractorInceptionV3):
    """torch-fidelity's, which loads what it is told to."""

    def load_state_dict(self, state_dict, **options):
        return super().load_state_dict(by_recipe(self.state_dict()), **options)


def weights():
    """The state dict that both packages' files have."""
    return networks()["state"]


def networks():
    """{package: from levels (1, 3, H, W) to features (1, 2048)}, and the `state` of both."""
    packages = (torch_fidelity_inception, pytorch_fid.inception)
    fetches = [package.load_state_dict_from_url for package in packages]
    try:
        torch_fidelity_inception.load_state_dict_from_url = lambda url, progress: None
        of_torch_fidelity = OfRecipe("inception-v3-compat", ["2048"])
        # Tensors have the same names in both.
        pytorch_fid.inception.load_state_dict_from_url = lambda url, progress: of_torch_fidelity.state_dict()
        of_pytorch_fid = pytorch_fid.inception.InceptionV3([3]).eval()
    finally:
        for package, fetch in zip(packages, fetches):
            package.load_state_dict_from_url = fetch
    return {
        "state": of_torch_fidelity.state_dict(),
        "pytorch-fid": lambda levels: of_pytorch_fid(levels.float() / 255)[0].flatten(1),
        "torch-fidelity": lambda levels: of_torch_fidelity(levels)[0],
    }


def picture(height, width, which):
    """Levels (1, 3, H, W), by whole numbers: the crate's tests make the same."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    levels = (x * x // (5 + which) + y * (3 + 2 * which) + c * 40 + x * y // 16) % 256
    return torch.from_numpy(levels.astype(np.uint8)[None])


def rows(count, phase):
    """Features (count, 48) that depend on each other, in f32."""
    row, column = np.meshgrid(np.arange(count), np.arange(48), indexing="ij")
    levels = (row * 37 + column * column * 11 + row * column * 5 + phase * 61) % 97
    return (levels.astype(np.float32) + column.astype(np.float32) * np.float32(phase)) / np.float32(64)


def scattered(count, phase):
    """The same, of which no two of the first 9,973 are alike."""
    row, column = np.meshgrid(np.arange(count), np.arange(48), indexing="ij")
    levels = (row * 37 + column * column * 11 + row * row * (3 + column) + phase * 61) % 9973
    return (levels.astype(np.float32) + np.float32(2500 * phase)) / np.float32(4096)


def measured():
    found = {"features": [], "distances": [], "sets": []}
    both = networks()
    for name in ("pytorch-fid", "torch-fidelity"):
        extract = both[name]
        for height, width in SIZES:
            with torch.no_grad():
                features = extract(picture(height, width, 0))[0].double().numpy()
            kept = [float(np.float32(of)) for of in features[:: 2048 // KEPT]]
            row = {"of": name, "height": height, "width": width, "mean": features.mean(), "kept": kept}
            found["features"].append(row)
    for count in (200, 30):
        a, b = rows(count, 0), rows(count + 11, 1)
        of_scipy = pytorch_fid.fid_score.calculate_frechet_distance(
            a.astype(float).mean(0), np.cov(a, rowvar=False), b.astype(float).mean(0), np.cov(b, rowvar=False)
        )
        statistics = [torch_fidelity.metric_fid.fid_features_to_statistics(torch.from_numpy(of)) for of in (a, b)]
        of_eigenvalues = torch_fidelity.metric_fid.fid_statistics_to_metric(*statistics, False)
        distances = {"pytorch-fid": float(of_scipy), "torch-fidelity": of_eigenvalues["frechet_inception_distance"]}
        found["distances"].append({"rows": count, "others": count + 11, **distances})
    for count, others in ((200, 180), (1020, 1100)):
        a, b = torch.from_numpy(scattered(count, 0)), torch.from_numpy(scattered(others, 1))
        covered = metric_prc.prc_features_to_metric(a, b, verbose=False)
        row = {"rows": count, "others": others, "precision": covered["precision"], "recall": covered["recall"]}
        if count >= 1000:
            kernel = metric_kid.kid_features_to_metric(a, b, verbose=False)
            row["kid"] = kernel[metric_kid.KEY_METRIC_KID_MEAN]
            row["kid_std"] = kernel[metric_kid.KEY_METRIC_KID_STD]
        found["sets"].append(row)
    return found


def covered(a, b):
    """{"precision": ..., "recall": ...} of lists of features (1, 2048), of what went in and of what came back."""
    return metric_prc.prc_features_to_metric(torch.cat(b), torch.cat(a), verbose=False)


def distance(a, b):
    """The Fréchet distance of two lists of features (1, 2048), as torch-fidelity computes it."""
    statistics = [torch_fidelity.metric_fid.fid_features_to_statistics(torch.cat(of)) for of in (a, b)]
    return torch_fidelity.metric_fid.fid_statistics_to_metric(*statistics, False)["frechet_inception_distance"]


def differences(kept, found):
    for one, other in zip(kept["features"], found["features"]):
        most = max(map(abs, other["kept"]))
        yield from (abs(a - b) / most for a, b in zip(one["kept"], other["kept"]))
    for one, other in zip(kept["distances"], found["distances"]):
        yield from (abs(one[name] / other[name] - 1) for name in ("pytorch-fid", "torch-fidelity"))
    for one, other in zip(kept["sets"], found["sets"]):
        yield from (abs(one[name] - other[name]) for name in one)


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--write", action="store_true", help="write the file")
    args = parser.parse_args()
    found = measured()
    if args.write:
        lines = ",\n".join("    " + json.dumps(row) for row in found["features"])
        distances = ",\n".join("    " + json.dumps(row) for row in found["distances"])
        sets = ",\n".join("    " + json.dumps(row) for row in found["sets"])
        lists = [f'  "features": [\n{lines}\n  ]', f'  "distances": [\n{distances}\n  ]', f'  "sets": [\n{sets}\n  ]']
        GOLDEN.write_text("{\n" + ",\n".join(lists) + "\n}\n")
        print(GOLDEN.relative_to(ROOT))
        return
    off = list(differences(json.loads(GOLDEN.read_text()), found))
    if not max(off) <= TOLERANCE:
        sys.exit(f"{GOLDEN}: off by {max(off):.2e}, expected at most {TOLERANCE}")
    print(f"{len(off)} numbers, at most {max(off):.1e} off")


if __name__ == "__main__":
    main()
