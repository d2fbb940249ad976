"""The layers of a model while it runs, each beside the same layer of the reference on the same input."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity.live.model import Model
from vae_fidelity.live.rounding import Distance, allowed, coarser, distance

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """One layer in one run, held against the reference on the same input."""

    name: str
    """diffusers' name."""
    class_name: str
    """diffusers' or PyTorch's class."""
    dtype: str
    """What it put out: `float32`, `bfloat16`, ..."""
    relative_rms: float
    """RMS of the difference over RMS of the reference's output."""
    worst: float
    """Largest difference of a value, over its own size plus the RMS of the output."""
    allowed_rms: float
    """Largest `relative_rms` that is rounding."""
    allowed_worst: float
    """Largest `worst` that is rounding."""
    non_finite: bool
    """Whether it put out NaN or infinity where the reference does not."""
    reference_max: float
    """Largest size of a value of the reference's output."""
    autocast: Optional[str]
    """The dtype of autocast while it ran."""
    problem: Optional[str]
    """Why it could not be compared: an input or output of another shape."""

    def room(self, amplified: float) -> Distance:
        """What rounding explains in a model that makes `amplified` as much of it as a trained one."""
        return Distance(self.allowed_rms * amplified, self.allowed_worst * amplified)

    @property
    def differs(self) -> bool:
        """Whether rounding does not explain it."""
        within = Distance(self.relative_rms, self.worst).within(Distance(self.allowed_rms, self.allowed_worst))
        return self.non_finite or self.problem is not None or not within


@dataclass
class Record:
    """What ran while it was recorded."""

    layers: list[Layer] = field(default_factory=list)
    """Those that were compared, in the order in which they finished: an inner one before what it lies in."""
    ran: set[str] = field(default_factory=set)
    """Names of all that ran."""
    inside: list[str] = field(default_factory=list)
    """Names of what was entered and not left: where an exception was raised, the last is the innermost."""
    compiled: list[str] = field(default_factory=list)
    """Names of what is compiled, and runs as a whole; the name of the method where that is."""


class Graph:
    """The modules of a model's class as the reference has them."""

    def __init__(self, reference: _native.Reference) -> None:
        self.reference = reference
        self.classes = dict(reference.modules())

    def inside(self, name: str) -> list[str]:
        """Names of what lies in a module."""
        return [other for other in self.classes if other.startswith(name + ".")]

    def part(self, name: str) -> str:
        """How much of the model a module is: a `leaf`, a `block` of leaves, or `whole`."""
        inside = self.inside(name)
        if not inside:
            return "leaf"
        return "whole" if any(self.inside(other) for other in inside) else "block"


@contextlib.contextmanager
def recorded(model: Model, graph: Graph, parts: tuple[str, ...], method: str) -> Iterator[Record]:
    """Compares each layer of these parts as `method` runs it. What is hooked for that is unhooked afterwards."""
    record = Record()
    if is_compiled_method(model, method):
        # Hooks in what is compiled would be compiled, too: it is compared as a whole.
        record.compiled.append(method)
        record.ran.update(graph.classes)
        yield record
        return
    with contextlib.ExitStack() as undo:
        for name in graph.classes:
            module = model.submodule(name)
            if module is None or any(name.startswith(outer + ".") for outer in record.compiled):
                continue
            compare = graph.part(name) in parts
            if is_compiled(module):
                record.compiled.append(name)
                record.ran.update(graph.inside(name))
                compare = True
            else:
                undo.callback(_entered(module, record, name))
            undo.callback(_hooked(module, _hook(record, graph, name, compare, model)))
        yield record


def is_compiled_method(model: Model, method: str) -> bool:
    """Whether `torch.compile` was applied to `encode` or `decode` itself."""
    own = [getattr(model.given, name, None) for name in (method, f"_{method}")]
    return any(hasattr(each, "_torchdynamo_orig_callable") for each in own)


def is_compiled(module: Any) -> bool:
    """Whether `torch.compile` or `Module.compile` was applied to it."""
    return "_orig_mod" in getattr(module, "_modules", {}) or getattr(module, "_compiled_call_impl", None) is not None


def _hooked(module: Any, hook: Callable[..., None]) -> Callable[[], None]:
    """Calls `hook` with module, arguments and output after each call; returns what ends that."""
    compiled = getattr(module, "_compiled_call_impl", None)
    if compiled is None:
        handle = module.register_forward_hook(hook)
        return lambda: handle.remove()

    def around(*arguments: Any, **keywords: Any) -> Any:
        output = compiled(*arguments, **keywords)
        hook(module, arguments, output)
        return output

    module._compiled_call_impl = around

    def restore() -> None:
        module._compiled_call_impl = compiled

    return restore


def _entered(module: Any, record: Record, name: str) -> Callable[[], None]:
    def enter(module: Any, arguments: tuple[Any, ...]) -> None:
        record.inside.append(name)

    handle = module.register_forward_pre_hook(enter)
    return lambda: handle.remove()


def _hook(record: Record, graph: Graph, name: str, compare: bool, model: Model) -> Callable[..., None]:
    def hook(module: Any, arguments: tuple[Any, ...], output: Any) -> None:
        record.ran.add(name)
        if record.inside and record.inside[-1] == name:
            record.inside.pop()
        if compare and arguments:
            record.layers.append(_layer(graph, name, arguments[0], output, model))

    return hook


def _layer(graph: Graph, name: str, given: Any, output: Any, model: Model) -> Layer:
    torch = sys.modules["torch"]
    if isinstance(output, (tuple, list)):
        output = output[0]
    device = output.device.type
    autocast = None
    if torch.is_autocast_enabled(device):
        autocast = str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    precision = coarser(model.precision(), autocast or "float32")
    room, found, problem = allowed(precision, graph.part(name)), array(output), None
    expected: Optional[Array] = None
    try:
        expected = graph.reference.forward_module(name, array(given))
    except VaeFidelityError as error:
        problem = str(error.problem)
    if expected is not None and expected.shape != found.shape:
        problem, expected = f"expected an output of shape {expected.shape}, found {found.shape}", None
    off = Distance(0.0, 0.0) if expected is None else distance(expected, found)
    finite = expected is None or bool(np.isfinite(found[np.isfinite(expected)]).all())
    # NaN where all are: np.nanmax says the same, and warns.
    largest = 0.0 if expected is None or not expected.size else float(np.fmax.reduce(np.abs(expected), axis=None))
    dtype = str(output.dtype).removeprefix("torch.")
    return Layer(
        name, graph.classes[name], dtype, off.relative_rms, off.worst, room.relative_rms, room.worst,
        not finite, largest, autocast, problem,
    )  # fmt: skip


def array(tensor: Any) -> Array:
    """A tensor in f32 on the CPU, which is exact for 16 bits."""
    values: Array = tensor.detach().float().cpu().contiguous().numpy()
    return values
