"""golden/spread.json and golden/tolerances.json: reading, writing, and how the second follows from the first.

tests/suite/golden/tolerances.rs derives it once more, so that no row can be loosened by hand. Needs no torch.
"""

import json
import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from vae_fidelity_tools.checkout import GOLDEN
from vae_fidelity_tools.goldens.cases import CASES, MODEL_FOLDERS
from vae_fidelity_tools.goldens.store import UNIT, step

# Other machines than those of the table. Halves round to the same few bits everywhere, and what is left
# to chance is which way.
MARGINS = {"f32": 8, "f16": 3, "bf16": 3}
# The part of a difference that counts as relative, before the margin: for 16 bits one unit in the last
# place, at the most that it is of any value.
RELATIVE = {"f32": 1e-5, **UNIT}
# Tensors whose values, or sums, are far larger than other models'; they get rows of their own.
# Models of one graph share them.
GRAPHS = [
    (("extreme-logvar",), ("moments", "latents")),
    (("sd-v1-4", "sd-v2-1", "sdxl", "playground-v2.5"), ("moments", "latents", "decoded", "trace")),
    (("sd3", "flux1"), ("moments", "latents", "decoded", "trace")),
    (("cogview4",), ("moments", "latents", "decoded", "trace")),
    (("x4-upscaler",), ("moments", "latents", "decoded", "trace")),
]
# In 16 bits every model has its own: a unit in the last place depends on how large its sums are.
OWN_IN_16_BITS = ("moments", "latents", "decoded")
# The class whose models the rows of all models come from. One of another class is held to them where it keeps
# to them, and has a row of its own where they would have to be looser for it: no model's tolerance is another
# class's.
CLASS_OF_ALL = "AutoencoderKL"
SPREAD, TOLERANCES = GOLDEN / "spread.json", GOLDEN / "tolerances.json"
TENSORS = ("sample", "moments", "latents", "decoded", "decoded_rgb8", "trace", "noise")
CASE_BY_NAME = {case.name: case for case in CASES}


@dataclass
class Spread:
    """The worst that a tensor did in a sweep."""

    excess: float = 0.0  # largest |difference| - RELATIVE * |expected|
    max_abs: float = 0.0
    share: float = 0.0  # largest share of values that differ at all, in one run
    variant: str = ""  # what moved it most, and on which machine

    def join(self, other):
        """The worse of both, each figure for itself."""
        most = max(self, other, key=lambda one: one.max_abs)
        excess, share = max(self.excess, other.excess), max(self.share, other.share)
        return Spread(excess, most.max_abs, share, most.variant)


def short(value):
    return float(f"{value:.3g}")


def read_table():
    return json.loads(SPREAD.read_text())


def read_spread(table):
    """{(case, tensor): Spread} of the table."""
    names = table["variants"]
    return {
        (case, tensor): Spread(excess, max_abs, share, names[variant] if variant is not None else "")
        for case, tensor, max_abs, excess, share, variant in table["rows"]
    }


def read_cuda(table):
    """{(case, tensor): Spread} of the GPU that was measured."""
    return {
        (case, tensor): Spread(excess, max_abs, share, table["cuda_machine"])
        for case, tensor, max_abs, excess, share in table["cuda"]
    }


def write_spread(spreads, sizes, fast_engine, cuda_machine, cuda):
    """A line for each case and tensor, in the order of the cases; then sizes, the fast engine's, and a GPU's."""
    found = dict.fromkeys(spread.variant for spread in spreads.values() if spread.variant)
    known = [name for name in read_table()["variants"] if name in found]  # in their order, or every row changes
    names = list(dict.fromkeys([*known, *found]))
    order = {case.name: number for number, case in enumerate(CASES)}
    rows = [
        [case, tensor, short(s.max_abs), short(s.excess), short(s.share), names.index(s.variant) if s.variant else None]
        for (case, tensor), s in sorted(spreads.items(), key=lambda item: order.get(item[0][0], -1))
        if case in order
    ]
    sections = [
        ("columns", ["case", "tensor or layer", "max_abs", "excess", "share", "variant"], "rows", rows),
        ("size_columns", ["case", "tensor", "standard deviation"], "sizes", sizes),
        ("fast_engine_columns", ["case", "tensor or layer", "max_abs", "share"], "fast_engine", fast_engine),
        ("cuda_columns", ["case", "tensor or layer", "max_abs", "excess", "share"], "cuda", cuda),
    ]
    head = [' "schema_version": 1', f' "relative": {RELATIVE["f32"]}', f' "relative_16_bit": {json.dumps(UNIT)}',
            ' "variants": [\n  ' + ",\n  ".join(map(json.dumps, names)) + "\n ]"]  # fmt: skip
    head.append(f' "cuda_machine": {json.dumps(cuda_machine)}')
    for key, columns, name, entries in sections:
        head.append(f' "{key}": {json.dumps(columns)}')
        head.append(f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, entries)) + "\n ]")
    SPREAD.write_text("{\n" + ",\n".join(head) + "\n}\n")


def round_up(value):
    """To two digits, so that the file does not change with every last bit; `value` is a Decimal."""
    return float(value.quantize(Decimal(1).scaleb(value.adjusted() - 1), ROUND_CEILING)) if value else 0.0


def times(margin, value):
    """The product of what is written in the table, exactly."""
    return margin * Decimal(repr(value))


def own_row(dtype, tensor, model):
    """The models that share a row with `model`, or () for the row of all."""
    if dtype != "f32":
        return (model,) if tensor in OWN_IN_16_BITS else ()
    return next((models for models, tensors in GRAPHS if model in models and tensor in tensors), ())


def is_of_all(model):
    """Whether rows of all models come from this one too."""
    config = json.loads((MODEL_FOLDERS[model] / "vae" / "config.json").read_text())
    return config.get("_class_name", CLASS_OF_ALL) == CLASS_OF_ALL


def derive(table):
    """A row for each dtype and tensor, and for models of their own, with the row it comes from."""
    cpu = derive_for("cpu", table, read_spread(table).items())
    # A GPU may land wherever a CPU does, and where it was measured.
    cuda = derive_for("cuda", table, [*read_spread(table).items(), *read_cuda(table).items()])
    return cpu + [row for row in cuda if row["tensor"] not in ("sample", "noise")]


def derive_for(device, table, spreads):
    groups, sizes = {}, {}
    for (name, layer), spread in spreads:
        tensor, case = layer.split(" ")[0], CASE_BY_NAME[name]  # a trace's row is all of its layers
        groups.setdefault(key_of(case, tensor), []).append((name, layer, spread))
    for name, tensor, size in table["sizes"]:
        key = key_of(CASE_BY_NAME[name], tensor)
        sizes[key] = max(sizes.get(key, 0.0), size)
    keys = sorted(groups, key=lambda key: (key[0] != "f32", key[0], key[2], TENSORS.index(key[1])))
    rows = {}
    for key in keys:
        dtype, tensor, models = key
        for model in models or (None,):
            rows[dtype, tensor, model] = row(dtype, tensor, model, groups[key], sizes.get(key, 1.0)) | {"device": device}
    return [found for (dtype, tensor, model), found in rows.items() if is_needed(found, rows.get((dtype, tensor, None)))]


def key_of(case, tensor):
    """Dtype, tensor, and the models that share a row: () for that of all."""
    own = own_row(case.dtype, tensor, case.model)
    return case.dtype, tensor, own or (() if is_of_all(case.model) else (case.model,))


def is_needed(found, of_all):
    """Whether a row stands: a model of another class needs none where that of all lets through as much."""
    model, tensor, dtype = found.get("model"), found["tensor"], found["dtype"]
    if model is None or own_row(dtype, tensor, model) or of_all is None:
        return True
    return any(found.get(figure, 0.0) > of_all.get(figure, 0.0) for figure in ("atol", "rtol", "share"))


def row(dtype, tensor, model, group, size):
    """From (case, tensor or layer, spread) of all that it covers; `size` is that of its sums, for 16 bits."""
    fields = {"dtype": dtype, "device": "cpu", "tensor": tensor} | ({"model": model} if model else {})
    share = max(spread.share for *_, spread in group)
    case, layer, worst = max(group, key=lambda one: one[2].share if tensor == "decoded_rgb8" else (one[2].excess, one[2].max_abs))
    if tensor == "decoded_rgb8":
        # A value next to .5 falls either way; the share is what kernels can move.
        levels = max(1.0, max(spread.max_abs for *_, spread in group))
        fields |= {"atol": levels, "rtol": 0.0, "share": min(1.0, round_up(times(MARGINS[dtype], max(share, 1e-3))))}
    elif dtype == "f32" or tensor == "sample":
        # Each operation on a sample is rounded once, alike on every machine.
        rtol = MARGINS[dtype] * RELATIVE[dtype] if worst.max_abs else 0.0
        fields |= {"atol": round_up(times(MARGINS[dtype], worst.excess)), "rtol": short(rtol)}
    else:
        fields |= in_units(dtype, worst.excess, size)
    where = f"{case}, {worst.variant}" if worst.variant else "no difference in any run"
    measured_row = f"{case} / {layer}" if worst.variant else None
    return fields | {"measured_max_abs": short(worst.max_abs), "measured_on": where, "measured_row": measured_row}


def in_units(dtype, excess, size):
    """In units in the last place: some at the value's own size, and some at that of the sum that made it.

    One of each at least: a machine that was not measured may round either way.
    """
    units, at_sums = MARGINS[dtype], step(dtype, size)
    sum_units = max(1, math.ceil(times(units, excess) / Decimal(at_sums)))
    return {"atol": sum_units * at_sums, "rtol": units * UNIT[dtype], "ulps": units, "sum_ulps": sum_units, "sum_size": size}


def write_tolerances(rows, planted):
    lines = [
        f' "schema_version": 1,\n "margin": {MARGINS["f32"]},\n "margins": {json.dumps(MARGINS)},\n "measurements": "spread.json"'
    ]
    for key, entries in (("rows", rows), ("faults", planted)):
        lines.append(f' "{key}": [\n  ' + ",\n  ".join(map(json.dumps, entries)) + "\n ]")
    TOLERANCES.write_text("{\n" + ",\n".join(lines) + "\n}\n")
