"""Why a layer computes something else: what in the model is not as its class makes it."""

from __future__ import annotations

import os
import sys
from types import MethodType
from typing import Any, Optional

from vae_fidelity.live.layers import is_compiled
from vae_fidelity.live.model import Model, unwrapped

# The functions of torch.nn.functional that a class's forward() calls.
_FUNCTIONS = {
    "Conv2d": ("conv2d",),
    "GroupNorm": ("group_norm",),
    "Linear": ("linear",),
    "Attention": ("scaled_dot_product_attention", "softmax"),
    "AttnProcessor2_0": ("scaled_dot_product_attention",),
    "Upsample2D": ("interpolate",),
    "Downsample2D": ("pad",),
    "SiLU": ("silu",),
}

# What differs between two instances of one class without changing what they compute.
_IDLE = {"training", "gradient_checkpointing", "_is_hf_initialized", "call_super_init", "dump_patches"}


def fresh(model: Model) -> Optional[Any]:
    """A new instance of the model's class without values; `None` where the class cannot be built from its config."""
    torch = sys.modules["torch"]
    for base in type(model.module).__mro__:
        if base.__name__ == model.class_name:
            try:
                with torch.device("meta"):
                    return base.from_config(model.config)  # type: ignore[attr-defined]
            except Exception:
                return None
    return None


def why(model: Model, name: str, of_class: Optional[Any]) -> list[str]:
    """What is unlike the class in the module `name` and in all that lies in it, each as a clause.

    `of_class` is a `fresh` instance, against which parameters of the layers are held.
    """
    said: list[str] = []
    module = model.submodule(name)
    if module is None:
        return [f"{name} is not there"]
    if is_compiled(module):
        said.append(f"{name} is compiled (torch.compile)")
    expected = None if of_class is None else _submodule(of_class, name)
    base = unwrapped(module)
    for path, inner in base.named_modules():
        full = f"{name}.{path}" if path else name
        other = None if expected is None else _submodule(expected, path)
        said += _unlike(full, unwrapped(inner), other)
    return said


def in_training(model: Model, name: str) -> Optional[str]:
    """The name of what drops values at random or takes statistics of the picture, in the module `name`, since it is
    in training mode."""
    module = model.submodule(name)
    for path, inner in [] if module is None else unwrapped(module).named_modules():
        kinds = {base.__name__ for base in type(inner).__mro__}
        drops = any("Dropout" in kind for kind in kinds) and getattr(inner, "p", 0) > 0
        if inner.training and (drops or "_BatchNorm" in kinds):
            return f"{name}.{path}".strip(".")
    return None


def replaced(model: Model, method: str) -> list[str]:
    """What is unlike the class in a method of the model, such as `encode`, and in what it calls."""
    said = []
    for each in (method, f"_{method}", "forward"):
        own = model.module.__dict__.get(each)
        if own is not None:
            said.append(f"{each}() is {_where(own)}, not its class's")
        elif foreign := _foreign(getattr(type(model.module), each, None), model.module):
            said.append(f"{type(model.module).__name__}.{each} is {foreign}")
    return said


def _unlike(name: str, module: Any, expected: Optional[Any]) -> list[str]:
    said = []
    kind = type(module).__name__
    if "forward" in module.__dict__ and not _is_framework(module.__dict__["forward"]):
        said.append(f"{name}.forward is {_where(module.__dict__['forward'])}")
    elif foreign := _foreign(type(module).forward, module):
        said.append(f"{kind}.forward is {foreign}")
    for hook in [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]:
        if not _is_framework(hook):
            said.append(f"{name} has a hook, {_where(hook)}")
    for function in _FUNCTIONS.get(kind, ()):
        current = getattr(sys.modules["torch"].nn.functional, function)
        if not _is_framework(current):
            said.append(f"torch.nn.functional.{function} is {_where(current)}")
    if expected is None:
        return said
    if not isinstance(module, type(expected)):
        found = f"{type(module).__module__}.{kind}" if type(expected).__name__ == kind else kind
        said.append(f"{name} is {found}, its class has {type(expected).__name__}")
        return said
    mine, of_class = _parameters(module), _parameters(expected)
    for field in of_class:
        if field in mine and mine[field] != of_class[field] and field not in _IDLE:
            said.append(f"{name}.{field} is {mine[field]}, its class has {of_class[field]}")
    return said


def _parameters(module: Any) -> dict[str, Any]:
    """What a layer was built with: plain values, and the classes of objects that are no modules."""
    plain: dict[str, Any] = {}
    for field, value in vars(module).items():
        if isinstance(value, (bool, int, float, str, type(None))):
            plain[field] = value
        elif isinstance(value, (tuple, list)) and all(isinstance(each, (bool, int, float, str)) for each in value):
            plain[field] = tuple(value)
        elif field == "processor":
            plain[field] = type(value).__name__
    # torch's private copies of what stands in public fields.
    return {field: value for field, value in plain.items() if not field.startswith("_")}


def _submodule(module: Any, path: str) -> Optional[Any]:
    for part in path.split(".") if path else []:
        module = getattr(module, part, None)
        if module is None:
            return None
    return module


def _is_framework(function: Any) -> bool:
    """Whether a function is torch's, diffusers' or this package's own, by where it was written."""
    function = _plain(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return True
    packages = [sys.modules.get(name) for name in ("torch", "diffusers", "accelerate", "peft", "vae_fidelity")]
    roots = [os.path.dirname(os.path.abspath(each.__file__)) for each in packages if each is not None and each.__file__]
    path = os.path.abspath(code.co_filename)
    return code.co_filename.startswith("<") or any(path.startswith(root + os.sep) for root in roots)


def _foreign(method: Any, module: Any) -> Optional[str]:
    """Where a method of a class was written, if not beside the class or one that it derives from."""
    if method is None or _is_framework(method):
        return None
    home = {getattr(sys.modules.get(base.__module__), "__file__", None) for base in type(module).__mro__}
    return None if _plain(method).__code__.co_filename in home else _where(method)


def _where(function: Any) -> str:
    plain = _plain(function)
    code = getattr(plain, "__code__", None)
    name = getattr(plain, "__qualname__", type(plain).__name__).replace(".<locals>", "")
    return name if code is None else f"{name} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


def _plain(function: Any) -> Any:
    """The function behind what binds, wraps or partially applies it."""
    while True:
        if isinstance(function, MethodType):
            function = function.__func__
        elif hasattr(function, "func") and hasattr(function, "args"):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function
