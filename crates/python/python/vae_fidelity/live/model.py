"""A torch module as it is in memory: its class, its config, its weights, and where they are run.

Nothing here imports torch: whoever gives a module has.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

from vae_fidelity import _native
from vae_fidelity._errors import VaeFidelityError
from vae_fidelity.live import adapters
from vae_fidelity.live.adapters import Adapter

_NEXT = "give a model of diffusers, such as pipe.vae, or a folder, a file or a hub's id"

# As safetensors writes them, by torch's names.
_DTYPES = {
    "torch.float64": "F64",
    "torch.float32": "F32",
    "torch.float16": "F16",
    "torch.bfloat16": "BF16",
    "torch.float8_e4m3fn": "F8_E4M3",
    "torch.float8_e5m2": "F8_E5M2",
}


def is_module(value: object) -> bool:
    """Whether it is a `torch.nn.Module`; torch is not imported for that."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


@dataclass(frozen=True)
class Model:
    """A module of a class that is run here."""

    module: Any
    """The module itself, without what wraps it."""
    class_name: str
    """diffusers' class, of which it is an instance or which its class derives from."""
    config: dict[str, Any]
    """Its config, as `config.json` would hold it."""
    is_of_clips: bool
    """Whether it is given clips, of which a picture is one frame."""
    given: Any
    """What was given: the module, or what wraps it."""

    @classmethod
    def of(cls, value: Any) -> Model:
        """The model in `value`.

        Raises:
            VaeFidelityError: if it is none of a class that is run here, or has no config.
        """
        given, value = value, unwrapped(value)
        classes = dict(_native.classes())
        found = f"{type(value).__module__}.{type(value).__qualname__}"
        name = next((base.__name__ for base in type(value).__mro__ if base.__name__ in classes), None)
        if name is None:
            problem = f"expected one of {', '.join(classes)}, or a class derived from one, found {found}"
            raise VaeFidelityError("option", "the model in memory", problem, _NEXT)
        config = getattr(value, "config", None)
        if config is None or not hasattr(config, "items"):
            problem = f"{found} has no `config` as diffusers' models have it"
            raise VaeFidelityError("config", "the model in memory", problem, _NEXT)
        if next(value.parameters(), None) is None:
            raise VaeFidelityError("tensor", "the model in memory", f"{found} has no parameters", _NEXT)
        fields = {key: field for key, field in dict(config).items() if not key.startswith("_")}
        return cls(value, name, {"_class_name": name, **fields}, classes[name], given)

    @property
    def name(self) -> str:
        """What it is called in reports."""
        own = type(self.module).__name__
        return own if own == self.class_name else f"{own} ({self.class_name})"

    def call(self, method: str, value: Any, **keywords: Any) -> Any:
        """What `encode` or `decode` of what was given makes of `value`."""
        return getattr(self.given, method, getattr(self.module, method))(value, **keywords)

    def dtype(self) -> Any:
        """The dtype that it computes in: torch's."""
        torch = sys.modules["torch"]
        dtype = getattr(self.module, "dtype", None) or next(self.module.parameters()).dtype
        return dtype if dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64) else torch.bfloat16

    def device(self) -> Any:
        """Where its input has to lie."""
        device = next(self.module.parameters()).device
        hook = getattr(self.module, "_hf_hook", None)
        return getattr(hook, "execution_device", None) or ("cpu" if device.type == "meta" else device)

    def precision(self) -> str:
        """How it rounds: its dtype by torch's name, or `tf32` where a GPU computes f32 so."""
        torch = sys.modules["torch"]
        name = str(self.dtype()).removeprefix("torch.")
        backends = torch.backends
        is_cuda = torch.device(self.device()).type == "cuda"
        if name == "float32" and is_cuda and (backends.cudnn.allow_tf32 or backends.cuda.matmul.allow_tf32):
            return "tf32"
        return name

    def tile_size(self) -> Optional[tuple[int, int]]:
        """Rows and columns of a picture up to which it is one tile, where the model says that."""
        size = getattr(self.module, "tile_sample_min_size", None)
        rows, columns = (getattr(self.module, f"tile_sample_min_{side}", size) for side in ("height", "width"))
        return (rows, columns) if isinstance(rows, int) and isinstance(columns, int) else None

    def config_json(self) -> str:
        """The config as JSON."""
        return json.dumps(self.config, default=str)

    def submodule(self, name: str) -> Any:
        """The module of diffusers' name `name` as it stands there, wrapped or not; `None` where there is none."""
        found = self.module
        for part in name.split("."):
            found = _child(found, part)
            if found is None:
                return None
        return found

    def tensor(self, name: str) -> Any:
        """The tensor of diffusers' name `name` with the values that are computed with; `None` where there is none."""
        layer, leaf = self._layer_of(name)
        return None if layer is None else _value(adapters.merged(layer), leaf, name)

    def adapters(self, name: str) -> list[Adapter]:
        """The adapters that change a tensor."""
        return adapters.adapters(self._layer_of(name)[0])

    def without_adapters(self, name: str) -> Any:
        """The tensor that `tensor` gives, as it is without its adapters."""
        layer, leaf = self._layer_of(name)
        return _value(adapters.plain(layer), leaf, name)

    def _layer_of(self, name: str) -> tuple[Any, str]:
        path, _, leaf = name.rpartition(".")
        return self.submodule(path) if path else self.module, leaf

    def held_in(self, name: str) -> Optional[str]:
        """In what a tensor is held, where that is no plain tensor of 16 bits or more: `float8_e4m3fn`, or a class of
        quantised tensors."""
        layer, leaf = self._layer_of(name)
        base = unwrapped(layer)
        values = getattr(base, leaf)
        if (kind := quantised(base, values)) is not None:
            return kind
        return str(values.dtype).removeprefix("torch.") if values.dtype.itemsize == 1 else None

    def quantised(self, name: str) -> Optional[str]:
        """The class of a quantised tensor or layer in the module `name`, which computes by itself; `None` where there is
        none."""
        module = self.submodule(name)
        for layer in [] if module is None else module.modules():
            for leaf in ("weight", "bias"):
                if (kind := quantised(layer, getattr(layer, leaf, None))) is not None:
                    return kind
        return None

    def tensors(self) -> Iterator[tuple[str, Any]]:
        """Name and values of every tensor that the class has, where the module has it too."""
        for name, _ in _native.expected_tensors(self.config_json()):
            values = self.tensor(name)
            if values is not None:
                yield name, values

    def source(self) -> tuple[str, Optional[str], bytes]:
        """The model as the extension takes it in place of a path."""
        return f"{self.name} in memory", self.config_json(), safetensors(self.tensors())


def safetensors(tensors: Iterable[tuple[str, Any]]) -> bytes:
    """`tensors` as a safetensors file would hold them; integers and the like are left out."""
    torch = sys.modules["torch"]
    header: dict[str, Any] = {}
    parts, end = [], 0
    for name, values in tensors:
        values = values.detach()
        if not values.is_floating_point():
            continue
        if str(values.dtype) not in _DTYPES:
            values = values.float()
        values = values.cpu().contiguous()
        data = values.reshape(-1).view(torch.uint8).numpy().tobytes()
        offsets = [end, end + len(data)]
        header[name] = {"dtype": _DTYPES[str(values.dtype)], "shape": list(values.shape), "data_offsets": offsets}
        parts.append(data)
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, *parts])


def unwrapped(module: Any) -> Any:
    """`module` without what compiles, parallelises or adapts it."""
    while (inner := wrapped(module)) is not None:
        module = inner
    return module


def _child(module: Any, name: str) -> Any:
    """The child of a module, or of what it wraps; `None` where there is none."""
    while module is not None:
        if (found := getattr(module, name, None)) is not None:
            return found
        module = wrapped(module)
    return None


def wrapped(module: Any) -> Any:
    """What one wrapper holds: `torch.compile`'s, `DataParallel`'s, an average's, a LoRA's, a sequence of one; `None` for
    a module itself."""
    inner = dict(module.named_children()) if hasattr(module, "named_children") else {}
    for name in ("_orig_mod", "base_layer"):
        if name in inner:
            return inner[name]
    if type(module).__name__.startswith("Peft") and "base_model" in inner:
        return inner["base_model"].model
    is_sequence = type(module).__name__ == "Sequential" and list(inner) == ["0"]
    return inner["0"] if is_sequence else inner["module"] if list(inner) == ["module"] else None


def quantised(layer: Any, values: Any) -> Optional[str]:
    """The class in which a layer holds a tensor with arithmetic of its own: a kind of tensor, or torch's own quantised
    layers, whose `weight` and `bias` are methods; `None` for a plain tensor."""
    if callable(values) and not hasattr(values, "shape"):
        return f"{type(layer).__module__}.{type(layer).__name__}"
    if not hasattr(values, "shape"):
        return None
    kind = type(getattr(values, "data", values)).__name__
    return None if kind in ("Tensor", "Parameter") else kind


def _value(layer: Any, leaf: str, name: str) -> Any:
    base = unwrapped(layer)
    values = getattr(base, leaf, None)
    if callable(values) and not hasattr(values, "shape"):
        # torch's own quantised layers: weight() and bias().
        values = values()
    if values is None:
        return None
    if getattr(values, "is_meta", False):
        values = _offloaded(base, leaf)
    if values is None or not hasattr(values, "detach"):
        problem = "lies in no memory that can be read (device meta)"
        next = "load the model, or take the offloading off, before it is checked"
        raise VaeFidelityError("tensor", name, problem, next)
    values = values.detach()
    if hasattr(values, "dequantize") and (values.is_quantized or type(values).__name__ not in ("Tensor", "Parameter")):
        values = values.dequantize()
    return values


def _offloaded(layer: Any, leaf: str) -> Any:
    """A tensor that accelerate keeps on the CPU or on disk while the layer does not run."""
    hook = getattr(layer, "_hf_hook", None)
    for each in [hook, *getattr(hook, "hooks", [])]:
        weights = getattr(each, "weights_map", None)
        if weights is not None:
            return weights[leaf]
    return None
