"""A suite of one's own: the gist's functions on any model of a class that is run, and any pictures.

The folder has the layout of golden/ (golden/README.md), so that `golden verify --golden DIR`,
`golden export --golden DIR` and `Suite::open` take it. Every tensor is stored in full.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from vae_fidelity_tools.checkout import GOLDEN
from vae_fidelity_tools.goldens import block_tensors, reference_script
from vae_fidelity_tools.goldens.cases import Case
from vae_fidelity_tools.goldens.classes import CLASSES, Kl, class_of, class_of_folder
from vae_fidelity_tools.goldens.store import SCHEMA_VERSION, Degenerate, manifest_json, manifest_row, refuse_degenerate, write_case
from vae_fidelity_tools.goldens.trace import to_json

# What diffusers reads of a VAE's folder.
MODEL_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")
FALLBACK = "not measured for this model: the widest row of vae-fidelity's own models"

README = """# Goldens of {model}

Written by vae-fidelity's `scripts/python.sh -m vae_fidelity_tools.goldens.write`, which ran debug_diffusion_vae.py (SHA-256 in manifest.json) on {count} pictures.

    vae-fidelity golden verify --golden {folder}                        the libtorch model
    vae-fidelity golden export inputs --golden {folder}                 inputs for a port in any language
    vae-fidelity golden verify --golden {folder} --candidate mine       what it made of them

In Rust: `Suite::open("{folder}")?.run(..)`. The tolerances in tolerances.json were not measured for this model: they are the widest of vae-fidelity's own models, times the tensor's standard deviation where that is above 1. On the machine that wrote the goldens the bar is equal bits; elsewhere, look at a failure's largest difference before trusting it.
"""  # noqa: E501


def own_cases(model, images, asked, seed, kind):
    """For each picture the mode with a trace, and a draw; small ones with the tensors between blocks.

    A class without a posterior has nothing to draw from.
    """
    deterministic = kind.deterministic
    cases = []
    for image in images:
        size = asked or size_for(image, kind.multiple_of)
        shows = f"{image.name} through {model}"
        cases.append(Case(f"{image.stem}-mode", model, image.name, f"{shows}.", size, trace=True, blocks=is_small(image, size),
                          deterministic=deterministic))  # fmt: skip
        if deterministic:
            continue
        cases.append(Case(f"{image.stem}-sample", model, image.name, f"{shows}, sampled.", size, seed=seed))
    return cases


def size_for(image, multiple_of):
    """The picture's own, rounded down, where the gist's rounding to a multiple of 8 is not enough."""
    if multiple_of == 8:
        return None
    with Image.open(image) as picture:
        return tuple(max(side - side % multiple_of, multiple_of) for side in picture.size)


def is_small(image, size):
    """Whether the picture is encoded at a size of which blocks are kept."""
    with Image.open(image) as picture:
        return max(side - side % 8 for side in size or picture.size) <= block_tensors.LARGEST_SIDE


def refuse_arguments(repo, images, out):
    """Before slow work; returns the VAE's folder and the model's name."""
    if out.exists():
        sys.exit(f"{out}: exists; name a new folder")
    if not out.absolute().parent.is_dir():
        sys.exit(f"{out}: its parent folder does not exist; create it")
    vae = repo / "vae" if (repo / "vae" / "config.json").is_file() else repo
    if not (vae / "config.json").is_file():
        sys.exit(f"{repo}: no config.json and no vae/config.json; name a folder that diffusers' save_pretrained wrote")
    kind = json.loads((vae / "config.json").read_text()).get("_class_name", "AutoencoderKL")
    if kind not in CLASSES:
        sys.exit(f"{vae}/config.json: _class_name is {kind}; judged can be {', '.join(CLASSES)}")
    for image in images:
        if not image.is_file():
            sys.exit(f"{image}: no such picture")
    if len({image.stem for image in images}) < len(images):
        sys.exit("--images: two pictures have one name; cases are named after them")
    absolute = repo.resolve()
    name = absolute.parent.name if absolute.name == "vae" else absolute.name
    # `builtin` is the one name that stands for the model inside the binary.
    return vae, "my-builtin" if name == "builtin" else name


def present(run):
    """Its tensors that differ from machine to machine; not every class has moments."""
    return [name for name in ("moments", "latents", "decoded") if getattr(run, name) is not None]


def finite(name, run):
    """Refuses what no port could reproduce, and says what a suite is the poorer for."""
    for tensor in present(run):
        if not np.isfinite(getattr(run, tensor)).all():
            sys.exit(f"{name}: {tensor} has non-finite values: the model is broken, or needs other pictures")
    try:
        refuse_degenerate(name, run)
    except Degenerate as weakness:
        print(f"note: {weakness}; such a case tells little", file=sys.stderr)


def tolerances(spreads):
    """Rows for all tensors, from the measured ones; `spreads` has the largest standard deviations."""
    measured = json.loads((GOLDEN / "tolerances.json").read_text())
    widest = {}
    for row in measured["rows"]:
        # Suites of one's own are in f32 alone, and one model is far from any real one.
        if row["dtype"] != "f32" or row["device"] != "cpu" or row.get("model") == "extreme-logvar":
            continue
        known = widest.setdefault(row["tensor"], dict(row))
        known.pop("model", None)
        known["atol"] = max(known["atol"], row["atol"])
    rows = []
    for tensor, row in widest.items():
        if tensor in spreads and row["atol"]:
            row["atol"] = float(f"{row['atol'] * max(1.0, spreads[tensor]):.2g}")
        rows.append({**row, "measured_max_abs": None, "measured_on": FALLBACK, "measured_row": None})
    lines = ",\n  ".join(map(json.dumps, rows))
    return f'{{\n "schema_version": 1,\n "margin": {measured["margin"]},\n "rows": [\n  {lines}\n ]\n}}\n'


def write(gist_path, repo, images, size, seed, out, environment):
    """Writes the suite `out`: whole, or not at all."""
    vae_folder, model = refuse_arguments(repo, images, out)
    cases = own_cases(model, images, size, seed, class_of_folder(vae_folder))
    gist = reference_script.load_gist(gist_path)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=".writing-") as temporary:
        suite = Path(temporary) / "suite"
        copy_inputs(suite, vae_folder, model, images)
        vae = reference_script.load_vae(gist, suite / "models" / model)
        rows, spreads = [], {}
        for number, case in enumerate(cases, 1):
            run = reference_script.run(gist, vae, suite / "images", case)
            finite(case.name, run)
            repository = suite / "models" / model
            if class_of(repository) is Kl:
                reference_script.check_command_line(gist_path, repository, suite / "images", case, run, temporary)
            folder = suite / "cases" / case.name
            tensors = write_case(folder, run, largest_in_full=None)
            rows.append(manifest_row(case, tensors, block_tensors.write(folder, run.blocks) if case.blocks else None))
            if case.trace:
                (folder / "trace.json").write_text(to_json(run.trace))
            for tensor in present(run):
                spreads[tensor] = max(spreads.get(tensor, 0.0), float(getattr(run, tensor).std()))
            print(f"[{number}/{len(cases)}] {case.name}", flush=True)
        manifest = {"schema_version": SCHEMA_VERSION, **environment, "tolerances": "tolerances.json", "cases": rows}
        (suite / "manifest.json").write_text(manifest_json(manifest))
        (suite / "tolerances.json").write_text(tolerances(spreads))
        (suite / "README.md").write_text(README.format(model=model, count=len(images), folder=out))
        suite.rename(out)
    print(f"wrote {len(cases)} cases of {model} to {out}; tolerances are not measured for it ({out}/README.md)")


def copy_inputs(suite, vae_folder, model, images):
    target = suite / "models" / model / "vae"
    target.mkdir(parents=True)
    for pattern in MODEL_FILES:
        for file in vae_folder.glob(pattern):
            shutil.copyfile(file, target / file.name)
    (suite / "images").mkdir()
    for image in images:
        shutil.copyfile(image, suite / "images" / image.name)
