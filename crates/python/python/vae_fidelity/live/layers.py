"""The layers of a model while it runs, each beside the same layer of the reference on the same input."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

import numpy as np
import numpy.typing as npt

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity.live.clips import kept, picture_of
from vae_fidelity.live.model import Model
from vae_fidelity.live.rounding import EIGHT_BITS, Distance, allowed, coarser, distance

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
    gain: float
    """How far the line through both is from slope 1."""
    allowed_rms: float
    """Largest `relative_rms` that is rounding."""
    allowed_worst: float
    """Largest `worst` that is rounding."""
    allowed_gain: float
    """Largest `gain` that is rounding."""
    non_finite: bool
    """Whether it put out NaN or infinity where the reference does not."""
    reference_max: float
    """Largest size of a value of the reference's output."""
    autocast: Optional[str]
    """The dtype of autocast while it ran."""
    problem: Optional[str]
    """Why it could not be compared: an input or output of another shape."""
    held_in: Optional[str] = None
    """The class of quantised tensors or layers that it computes with, where its room is that of their 8 bits."""

    def room(self, amplified: float) -> Distance:
        """What rounding explains in a model that makes `amplified` as much of it as a trained one."""
        return Distance(self.allowed_rms * amplified, self.allowed_worst * amplified, self.allowed_gain * amplified)

    @property
    def distance(self) -> Distance:
        """How far it lies from the reference."""
        return Distance(self.relative_rms, self.worst, self.gain)

    @property
    def differs(self) -> bool:
        """Whether rounding does not explain it."""
        return self.non_finite or self.problem is not None or not self.distance.within(self.room(1))


@dataclass(frozen=True)
class Call:
    """One call of a module, to be run again."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    expected: Array
    """What the reference makes of it."""

    def run(self, module: Any) -> Array:
        """What the module makes of the same."""
        arguments, keywords = kept(self.arguments, self.keywords)
        output = module(*arguments, **keywords)
        return array(picture_of(output[0] if isinstance(output, (tuple, list)) else output))


# So many calls of layers that differ are kept: they hold their inputs.
_KEPT_CALLS = 2


@dataclass
class Record:
    """What ran while it was recorded."""

    layers: list[Layer] = field(default_factory=list)
    """Those that were compared, in the order in which they finished: an inner one before what it lies in."""
    ran: dict[str, None] = field(default_factory=dict)
    """Names of all that ran, in the order in which they finished first."""
    calls: dict[str, Call] = field(default_factory=dict)
    """Calls of the first layers that differ, by name."""
    inside: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    """What was entered and not left, as it was called, before its hooks: where an exception was raised, the last is the
    innermost."""
    compiled: list[str] = field(default_factory=list)
    """Names of what is compiled, and runs as a whole; the name of the method where that is."""

    def add(self, other: Record) -> None:
        """Takes over what was compared of other parts in another run."""
        order = {name: at for at, name in enumerate(self.ran)}
        known = {layer.name for layer in self.layers}
        self.layers += [layer for layer in other.layers if layer.name not in known]
        self.layers.sort(key=lambda layer: order.get(layer.name, len(order)))
        self.calls = other.calls | self.calls


class Graph:
    """The modules of a model's class: names and classes, parents before their children."""

    def __init__(self, classes: dict[str, str]) -> None:
        self.classes = classes

    def inside(self, name: str) -> list[str]:
        """Names of what lies in a module."""
        return [other for other in self.classes if other.startswith(name + ".")]

    def part(self, name: str) -> str:
        """How much of the model a module is: a `leaf`, a `block` of leaves, `blocks` together, or a `whole` encoder or
        decoder."""
        inside = self.inside(name)
        if not inside:
            return "leaf"
        if not any(self.inside(other) for other in inside):
            return "block"
        return "blocks" if "." in name else "whole"

    def rounds_as(self, name: str) -> str:
        """The part that a module rounds as: its own, or `norm` of a leaf that rounds after each of several steps."""
        return "norm" if self.classes[name].endswith("RMS_norm") else self.part(name)


@contextlib.contextmanager
def recorded(model: Model, reference: _native.Reference, graph: Graph, parts: tuple[str, ...], method: str) -> Iterator[Record]:
    """Compares each layer of these parts as `method` runs it. What is hooked for that is unhooked afterwards."""
    record = Record()
    if is_compiled_method(model, method):
        # Hooks in what is compiled would be compiled, too: it is compared as a whole.
        record.compiled.append(method)
        record.ran.update(dict.fromkeys(graph.classes))
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
                record.ran.update(dict.fromkeys(graph.inside(name)))
                compare = True
            recorder = _Recorder(record, reference, graph, name, compare, model)
            try:
                undo.callback(_hooked(module, recorder.left, recorder.entered))
            except RuntimeError:
                # TorchScript takes no hooks.
                record.compiled.append(name)
                record.ran.update(dict.fromkeys((name, *graph.inside(name))))
        yield record


@contextlib.contextmanager
def recorded_outputs(model: Model) -> Iterator[list[tuple[str, str, Array]]]:
    """Name, class and output of each module of the class, in the order in which they finish."""
    outputs: list[tuple[str, str, Array]] = []

    def hook(name: str, class_name: str) -> Callable[..., None]:
        def keep(module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
            outputs.append((name, class_name, array(picture_of(output[0] if isinstance(output, tuple) else output))))

        return keep

    with contextlib.ExitStack() as undo:
        for name, class_name in _native.modules(model.config_json()):
            module = model.submodule(name)
            if module is not None:
                undo.callback(_hooked(module, hook(name, class_name)))
        yield outputs


def is_compiled_method(model: Model, method: str) -> bool:
    """Whether `torch.compile` was applied to `encode` or `decode` itself."""
    own = [getattr(model.given, name, None) for name in (method, f"_{method}")]
    return any(hasattr(each, "_torchdynamo_orig_callable") for each in own)


def is_compiled(module: Any) -> bool:
    """Whether `torch.compile`, `Module.compile` or TorchScript was applied to it."""
    is_script = any(base.__module__.startswith("torch.jit") for base in type(module).__mro__)
    return is_script or hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _hooked(module: Any, left: Callable[..., None], entered: Optional[Callable[..., None]] = None) -> Callable[[], None]:
    """Calls `entered` with module, arguments and keywords before each call, and `left` with the output too after it;
    returns what ends that."""
    compiled = getattr(module, "_compiled_call_impl", None)
    if compiled is None:
        # Before the hooks of others on the way in, behind them on the way out: what they change is the module's.
        handles = [module.register_forward_hook(left, with_kwargs=True)]
        if entered is not None:
            handles.append(module.register_forward_pre_hook(entered, prepend=True, with_kwargs=True))

        def unhook() -> None:
            for handle in handles:
                handle.remove()

        return unhook

    def around(*arguments: Any, **keywords: Any) -> Any:
        if entered is not None:
            entered(module, arguments, keywords)
        output = compiled(*arguments, **keywords)
        left(module, arguments, keywords, output)
        return output

    module._compiled_call_impl = around

    def restore() -> None:
        module._compiled_call_impl = compiled

    return restore


class _Recorder:
    """What is called as one module runs."""

    def __init__(self, record: Record, reference: _native.Reference, graph: Graph, name: str, compare: bool, model: Model) -> None:
        self.record, self.reference, self.graph = record, reference, graph
        self.name, self.compare, self.model = name, compare, model
        # Another thread may use the model at the same time.
        self.thread = threading.get_ident()

    def entered(self, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if threading.get_ident() == self.thread:
            self.record.inside.append((self.name, *kept(arguments, keywords)))

    def left(self, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        while self.record.inside:
            name, arguments, keywords = self.record.inside.pop()
            if name == self.name:
                break
        self.record.ran.setdefault(self.name)
        given = arguments[0] if arguments else next(iter(keywords.values()), None)
        if not self.compare or not hasattr(given, "detach"):
            return
        layer, expected = _layer(self.reference, self.graph, self.name, given, output, self.model)
        self.record.layers.append(layer)
        if layer.differs and expected is not None and len(self.record.calls) < _KEPT_CALLS:
            self.record.calls[self.name] = Call(arguments, keywords, expected)


def _layer(
    reference: _native.Reference, graph: Graph, name: str, given: Any, output: Any, model: Model
) -> tuple[Layer, Optional[Array]]:
    torch = sys.modules["torch"]
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not hasattr(output, "detach"):
        nowhere, kind = Distance(float("nan"), float("nan"), float("nan")), type(output).__name__
        said = f"expected a tensor, found {kind}"
        return _row(graph, name, kind, nowhere, nowhere, False, 0.0, None, said), None
    device = output.device.type
    autocast = None
    if torch.is_autocast_enabled(device):
        autocast = str(torch.get_autocast_dtype(device)).removeprefix("torch.")
    precision = coarser(model.precision(), autocast or "float32")
    part = graph.rounds_as(name)
    room, found = allowed(precision, part), array(picture_of(output))
    problem: Optional[str] = None
    expected: Optional[Array] = None
    try:
        expected = reference.forward_module(name, array(picture_of(given)))
    except VaeFidelityError as error:
        problem = str(error.problem)
    if expected is not None and expected.shape != found.shape:
        problem, expected = f"expected an output of shape {expected.shape}, found {found.shape}", None
    off = Distance(0.0, 0.0, 0.0) if expected is None else distance(expected, found)
    # Most quantised layers round their weights alone, which the reference has as they are.
    held_in = None if off.within(room) else model.quantised(name)
    if held_in is not None:
        room = allowed(coarser(precision, EIGHT_BITS), part)
    finite = expected is None or bool(np.isfinite(found[np.isfinite(expected)]).all())
    # NaN where all are: np.nanmax says the same, and warns.
    largest = 0.0 if expected is None or not expected.size else float(np.fmax.reduce(np.abs(expected), axis=None))
    dtype = str(output.dtype).removeprefix("torch.")
    row = _row(graph, name, dtype, off, room, not finite, largest, autocast, problem)
    return dataclasses.replace(row, held_in=held_in), expected


def _row(
    graph: Graph, name: str, dtype: str, off: Distance, room: Distance, non_finite: bool, largest: float,
    autocast: Optional[str], problem: Optional[str],
) -> Layer:  # fmt: skip
    return Layer(
        name=name, class_name=graph.classes[name], dtype=dtype, relative_rms=off.relative_rms, worst=off.worst,
        gain=off.gain, allowed_rms=room.relative_rms, allowed_worst=room.worst, allowed_gain=room.gain,
        non_finite=non_finite, reference_max=largest, autocast=autocast, problem=problem,
    )  # fmt: skip


def array(tensor: Any) -> Array:
    """A tensor in f32 on the CPU, which is exact for 16 bits."""
    values: Array = tensor.detach().float().cpu().contiguous().numpy()
    return values
