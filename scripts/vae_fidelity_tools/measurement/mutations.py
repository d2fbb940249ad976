"""Measures the smallest faults that the goldens catch, and writes golden/mutations.json.

    scripts/python.sh -m vae_fidelity_tools.measurement.mutations --gist debug_diffusion_vae.py

Every weight tensor of a model is multiplied by 1 + eps, then a single value of it is; the output of
every operation is multiplied by 1 + eps, and what has no weights (the eps of norms, the padding's
value, attention's scale, the posterior, the scaling factor) is moved likewise. For each the smallest
eps of a ladder is kept at which the suite's formula and golden/tolerances.json fail the model's cases,
every step from the golden input as cases are judged. The ladder is walked from its middle, down while
the change is caught, else up until it is. Some minutes; run by hand after tolerances change.

`--only MODEL...` measures these and leaves the others as the file has them.
"""

import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

import numpy as np
import torch
from diffusers.models.autoencoders import vae as diffusers_vae

from vae_fidelity_tools import arguments
from vae_fidelity_tools.checkout import GOLDEN, IMAGES, MODELS
from vae_fidelity_tools.goldens import reference_script
from vae_fidelity_tools.goldens.cases import CASES
from vae_fidelity_tools.goldens.recipe import repository, sample_indices
from vae_fidelity_tools.goldens.spread import pairs
from vae_fidelity_tools.goldens.store import tensors_of, tolerance

LADDER = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
FILE = GOLDEN / "mutations.json"
MIDDLE = LADDER.index(1e-3)
CASES_OF = {"sd-small": ("sd-small-sample",), "builtin": ("builtin-sample-42",), "tiny-variance": ("tiny-variance-sample",)}
OPERATIONS = ("Conv2d", "GroupNorm", "Linear", "SiLU", "ResnetBlock2D", "Attention", "Downsample2D", "Upsample2D")


class Bench:
    """A model with its cases, and whether a change to it is caught."""

    def __init__(self, gist, model, temporary, rows):
        self.gist, self.rows = gist, rows
        self.cases = [case for case in CASES if case.name in CASES_OF[model]]
        self.vae = reference_script.load_vae(gist, repository(MODELS / model, temporary))
        self.golden = {case.name: reference_script.run(gist, self.vae, IMAGES, case) for case in self.cases}
        if self.caught(""):
            sys.exit(f"{model}: fails without a change, so that nothing would be shown")

    def caught(self, name):
        """Whether the cases fail, where `name` (of a module or tensor) says which half has changed."""
        return any(self.fails(case, name) for case in self.cases)

    def run(self, case, name):
        """The half that can have changed; the other one is the golden's."""
        golden = self.golden[case.name]
        found = replace(golden)
        if not name.startswith(("decoder", "post_quant_conv")):
            with reference_script.observed_encode(self.vae, golden.noise) as seen:
                latents = self.gist.encode_to_latents(self.vae, torch.from_numpy(golden.sample), True, case.seed)
            found.moments, found.latents = seen["moments"].numpy(), latents.numpy()
        if not name.startswith(("encoder", "quant_conv")):
            decoded = self.gist.decode_from_latents(self.vae, torch.from_numpy(golden.latents))
            found.decoded, found.picture = decoded.numpy(), self.gist.tensor_to_image(decoded)
        return found

    def fails(self, case, name):
        golden = self.golden[case.name]
        whole = {tensor: ("full", values) for tensor, values in tensors_of(golden).items()}
        for tensor, expected, actual in pairs(whole, self.run(case, name)):
            if tensor not in ("moments", "latents", "decoded", "decoded_rgb8"):
                continue
            row = tolerance({"rows": self.rows}, tensor, case.model)
            gap = np.abs(actual - expected)
            if not (gap <= row["atol"] + row["rtol"] * np.abs(expected)).all():  # NaN fails too
                return True
            if (gap > 0).mean() > row.get("share", 1):
                return True
        return False

    def smallest(self, name, change):
        """The smallest eps at which `change(eps)`, a context manager, is caught; None if none is."""

        def caught(rung):
            with change(LADDER[rung]):
                return self.caught(name)

        if caught(MIDDLE):
            below = takewhile(caught, range(MIDDLE - 1, -1, -1))
            return LADDER[min(below, default=MIDDLE)]
        return next((LADDER[rung] for rung in range(MIDDLE + 1, len(LADDER)) if caught(rung)), None)


def scaled(tensor, at=None):
    """Multiplies a tensor, or its value at flat index `at`, by 1 + eps."""

    @contextmanager
    def change(eps):
        before = tensor.detach().clone()
        flat = tensor.data.view(-1)
        if at is None:
            tensor.data *= 1 + eps
        else:
            flat[at] *= 1 + eps
        try:
            yield
        finally:
            tensor.data.copy_(before)

    return change


def output_scaled(module):
    @contextmanager
    def change(eps):
        hook = module.register_forward_hook(lambda *seen: seen[-1] * (1 + eps))
        try:
            yield
        finally:
            hook.remove()

    return change


def attribute(module, name, moved):
    """Sets an attribute of an operation to `moved(value, eps)`."""

    @contextmanager
    def change(eps):
        before = getattr(module, name)
        setattr(module, name, moved(before, eps))
        try:
            yield
        finally:
            setattr(module, name, before)

    return change


def padding_value(module):
    """The column and row that downsampling adds are eps, not 0."""

    @contextmanager
    def change(eps):
        forward = module.forward
        module.forward = lambda xs: module.conv(torch.nn.functional.pad(xs, (0, 1, 0, 1), value=eps))
        try:
            yield
        finally:
            module.forward = forward

    return change


def without_weights(vae):
    """What is no module's output and no tensor: (name, change)."""
    for name, module in vae.named_modules():
        kind = type(module).__name__
        if kind == "GroupNorm":
            yield f"{name}: eps", attribute(module, "eps", lambda value, eps: value * (1 + eps))
        if kind == "Attention":
            yield f"{name}: the query's scale", scaled_query(module)
        if kind == "Downsample2D":
            yield f"{name}: padding", padding_value(module)
    yield "posterior: the mean", posterior(lambda self, eps: setattr(self, "mean", self.mean * (1 + eps)))
    yield "posterior: the standard deviation", posterior(lambda self, eps: setattr(self, "std", self.std * (1 + eps)))
    yield "scaling_factor", scaling_factor(vae)


def scaled_query(module):
    """As another 1 / sqrt(d)."""

    @contextmanager
    def change(eps):
        with scaled(module.to_q.weight)(eps), scaled(module.to_q.bias)(eps):
            yield

    return change


def posterior(moved):
    @contextmanager
    def change(eps):
        kind = diffusers_vae.DiagonalGaussianDistribution
        init = kind.__init__

        def moving(self, *args, **kwargs):
            init(self, *args, **kwargs)
            moved(self, eps)

        kind.__init__ = moving
        try:
            yield
        finally:
            kind.__init__ = init

    return change


def scaling_factor(vae):
    @contextmanager
    def change(eps):
        before = vae.config.scaling_factor
        vae.register_to_config(scaling_factor=before * (1 + eps))
        try:
            yield
        finally:
            vae.register_to_config(scaling_factor=before)

    return change


def measure(bench):
    """{kind: {name: smallest eps}}"""
    found = {"tensor": {}, "value": {}, "operation": {}, "parameter": {}}
    with torch.no_grad():
        for name, tensor in bench.vae.state_dict().items():
            found["tensor"][name] = bench.smallest(name, scaled(tensor))
            at = int(sample_indices(tensor.numel(), 1)[0])
            found["value"][name] = bench.smallest(name, scaled(tensor, at))
        for name, module in bench.vae.named_modules():
            if type(module).__name__ in OPERATIONS:
                found["operation"][name] = bench.smallest(name, output_scaled(module))
        for name, change in without_weights(bench.vae):
            found["parameter"][name] = bench.smallest(name, change)
    return found


def table(model, found):
    """For each kind: how many are caught at each rung, or below it."""
    for kind, entries in found.items():
        counts = [sum(eps is not None and eps <= rung for eps in entries.values()) for rung in LADDER]
        print(f"| {model} | {kind} | {len(entries)} | {' | '.join(map(str, counts))} |")


def main():
    parser = arguments.parser(__doc__)
    arguments.add_gist(parser)
    parser.add_argument("--only", nargs="+", choices=CASES_OF, default=list(CASES_OF), metavar="MODEL")
    args = parser.parse_args()
    torch.set_num_threads(2)
    gist = reference_script.load_gist(args.gist)
    rows = json.loads((GOLDEN / "tolerances.json").read_text())["rows"]
    print(f"| model | change | of | {' | '.join(f'{rung:g}' for rung in LADDER)} |\n|---|---|---|{'---|' * len(LADDER)}")
    with tempfile.TemporaryDirectory() as temporary:
        for model in args.only:
            found = measure(Bench(gist, model, temporary, rows))
            table(model, found)
            # Read at once before it is written: the models may be measured side by side.
            known = json.loads(FILE.read_text())["smallest_caught"] if FILE.is_file() else {}
            write(known | {model: found})


def write(smallest_caught):
    """A line for each model and kind."""
    sections = []
    for model in (model for model in CASES_OF if model in smallest_caught):
        kinds = smallest_caught[model].items()
        lines = ",\n".join(f"   {json.dumps(kind)}: {json.dumps(entries)}" for kind, entries in kinds)
        sections.append(f"  {json.dumps(model)}: {{\n{lines}\n  }}")
    text = f' "schema_version": 1,\n "ladder": {json.dumps(LADDER)},\n "cases": {json.dumps(CASES_OF)},\n "smallest_caught": {{\n'
    FILE.write_text("{\n" + text + ",\n".join(sections) + "\n }\n}\n")


if __name__ == "__main__":
    main()
