"""What in a model is not as its class makes it, each with a way to take it back for a moment."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MethodType
from typing import Any, Callable, Optional

from vae_fidelity.live import adapters
from vae_fidelity.live.layers import is_compiled
from vae_fidelity.live.model import Model, quantised, unwrapped, wrapped

# The functions of torch.nn.functional that a class's forward() calls, in it or in what it holds.
_FUNCTIONS = {
    "Conv2d": ("conv2d", "pad"),
    "Conv3d": ("conv3d", "pad"),
    "GroupNorm": ("group_norm",),
    "Linear": ("linear",),
    "Attention": ("scaled_dot_product_attention", "softmax"),
    "Upsample2D": ("interpolate",),
    "Upsample": ("interpolate",),
    "Downsample2D": ("pad",),
    "ZeroPad2d": ("pad",),
    **dict.fromkeys(("WanRMS_norm", "QwenImageRMS_norm"), ("normalize",)),
    **dict.fromkeys(("WanAttentionBlock", "QwenImageAttentionBlock"), ("scaled_dot_product_attention",)),
    "AvgDown3D": ("pad",),
    "SiLU": ("silu",),
}

# What two instances of one class may have in common or not, whatever they compute.
_IDLE = {"training", "gradient_checkpointing", "call_super_init", "dump_patches"}

# What diffusers' layers keep under a name that is not public, and compute with.
_PRIVATE = ("_padding",)

# Methods that only say what a layer is.
_SAY = {"extra_repr", "__repr__"}

# Packages whose methods are as they wrote them.
_LIBRARIES = ("torch", "diffusers", "accelerate", "peft")

# Packages that wrap a layer's forward() and call it.
_WRAPPERS = ("accelerate", "diffusers.hooks", "torch._dynamo")


@dataclass(frozen=True)
class Suspect:
    """Something that is unlike the class."""

    clause: str
    """What, as a clause."""
    undone: Optional[Callable[[], AbstractContextManager[Any]]]
    """A context in which it is as the class has it; `None` where that cannot be had."""
    compiles: bool = False
    """Whether it runs something else in place of the layer's own code, in which nothing can be taken back."""


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


def suspects(model: Model, name: str, of_class: Optional[Any]) -> list[Suspect]:
    """What is unlike the class in the module `name`, in all that lies in it, and in what torch runs it with.

    `of_class` is a `fresh` instance, against which the layers are held.
    """
    module = model.submodule(name)
    if module is None:
        return [Suspect(f"{name} is not there", None)]
    said = list(_of_torch())
    expected = None if of_class is None else submodule(of_class, name)
    if is_compiled(module):
        said.append(Suspect(f"{name} is compiled (torch.compile)", _eagerly(module), compiles=True))
    said += _of_wrappers(model, name, module)
    base = unwrapped(module)
    for path, inner in base.named_modules():
        full = f"{name}.{path}" if path else name
        said += _of_module(model, full, inner, None if expected is None else submodule(expected, path))
    return list({suspect.clause: suspect for suspect in said}.values())


def of_method(model: Model, method: str) -> list[str]:
    """What is unlike the class in a method of the model, such as `encode`, and in what it calls."""
    said = []
    for each in (method, f"_{method}", "forward"):
        own = model.module.__dict__.get(each)
        if own is not None and not _is_wrapper(own):
            said.append(f"{each}() is {where(own)}, not its class's")
        elif foreign := _foreign(getattr(type(model.module), each, None), type(model.module)):
            said.append(f"{type(model.module).__name__}.{each} is {foreign}")
        said += _called(getattr(type(model.module), each, None))
    return said


def _called(method: Any) -> Iterator[str]:
    """Functions of diffusers' own files that a method there calls, where they were written elsewhere."""
    plain = _plain(method)
    code = getattr(plain, "__code__", None)
    for name in code.co_names if code is not None and _is_of(plain, _LIBRARIES) else ():
        function = plain.__globals__.get(name)
        if hasattr(function, "__code__") and not _is_of(function, _LIBRARIES):
            yield f"{name} of {plain.__module__} is {where(function)}"


def of_distribution(distribution: Any) -> list[str]:
    """Methods of a posterior's class that were written elsewhere."""
    kind = type(distribution)
    methods = [(name, getattr(kind, name, None)) for name in ("__init__", "mode", "sample")]
    return [f"{kind.__name__}.{name} is {foreign}" for name, each in methods if (foreign := _foreign(each, kind))]


def submodule(module: Any, path: str) -> Optional[Any]:
    """The module at `path`; `None` where there is none."""
    for part in path.split(".") if path else []:
        module = getattr(module, part, None)
        if module is None:
            return None
    return module


def where(function: Any) -> str:
    """A function's name, and the file and line where it was written."""
    plain = _plain(function)
    code = getattr(plain, "__code__", None)
    name = getattr(plain, "__qualname__", type(plain).__qualname__).replace(".<locals>", "")
    if code is None:
        return name
    if code.co_name != name.rpartition(".")[2]:
        # functools.wraps gives a function the name of what it calls.
        name = f"{code.co_name} around {name}"
    return f"{name} ({os.path.basename(code.co_filename)}:{code.co_firstlineno})"


def _eagerly(module: Any) -> Optional[Callable[[], AbstractContextManager[Any]]]:
    """A context in which what is compiled runs as it was written; TorchScript has none, nor have older versions of torch."""
    compiler = sys.modules["torch"].compiler
    is_script = any(base.__module__.startswith("torch.jit") for base in type(module).__mro__)
    return None if is_script or not hasattr(compiler, "set_stance") else partial(compiler.set_stance, "force_eager")


def _of_torch() -> Iterator[Suspect]:
    """What torch runs every module with: global hooks and modes."""
    torch = sys.modules["torch"]
    of_modules = torch.nn.modules.module
    for hooks in (of_modules._global_forward_hooks, of_modules._global_forward_pre_hooks):
        for hook in hooks.values():
            yield Suspect(f"torch runs a hook on every module, {where(hook)}", partial(_emptied, hooks))
    stack = torch.overrides._get_current_function_mode_stack
    modes = [mode for mode in stack() if type(mode).__module__.split(".")[0] != "torch"]
    modes += torch.utils._python_dispatch._get_current_dispatch_mode_stack()
    for mode in modes:
        yield Suspect(f"torch runs under {type(mode).__qualname__}", None)


def _of_wrappers(model: Model, name: str, module: Any) -> Iterator[Suspect]:
    """What wraps a module, where that was not written for it by a library."""
    while (inner := wrapped(module)) is not None:
        kind = type(module)
        if kind.__module__.split(".")[0] not in _LIBRARIES and not adapters.is_adapted(module):
            clause = f"{name} is {kind.__name__} around {type(unwrapped(inner)).__name__}"
            yield Suspect(clause, partial(_called_as, module, inner))
        for adapter in adapters.adapters(module):
            if not adapter.is_merged:
                clause = f"the {adapter} of {name} computes something else than what it merges"
                yield Suspect(clause, lambda module=module: _called_as(module, adapters.merged(module)))  # type: ignore[misc]
        yield from _of_module(model, name, module, None)
        module = inner


def _of_module(model: Model, name: str, module: Any, expected: Optional[Any]) -> Iterator[Suspect]:
    own = vars(module)
    kind = type(module)
    for method, value in list(own.items()):
        is_method = callable(value) and callable(getattr(kind, method, None)) and not method.startswith("_hf_")
        if is_method and method != "_compiled_call_impl" and method not in _SAY and not _is_wrapper(value):
            clause = f"{name}.{method} is {where(value)}"
            yield Suspect(clause, partial(_without, own, method))
    for method in ("forward", "__call__", "_conv_forward"):
        if foreign := _foreign(getattr(kind, method, None), kind):
            yield Suspect(f"{kind.__name__}.{method} is {foreign}", None)
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        for key, hook in list(hooks.items()):
            if not _is_of(hook, ("diffusers.hooks", "accelerate", "torch", "vae_fidelity")):
                yield Suspect(f"{name} has a hook, {where(hook)}", partial(_unhooked, hooks, key))
    names = {base.__name__ for base in kind.__mro__}
    for function in dict.fromkeys(each for base in names for each in _FUNCTIONS.get(base, ())):
        yield from _of_function(function)
    for leaf, values in module._parameters.items():
        if (held_in := quantised(module, values)) is not None:
            clause = f"{name}.{leaf} is a {held_in}, which computes by itself"
            yield Suspect(clause, partial(_with_values, module, leaf, model, f"{name}.{leaf}"))
    if expected is not None:
        yield from _unlike(model, name, module, expected)


def _of_function(function: str) -> Iterator[Suspect]:
    functional = sys.modules["torch"].nn.functional
    current, original = getattr(functional, function), getattr(_functional(), function)
    code = getattr(current, "__code__", None)
    if current is not original and (code is None or code != getattr(original, "__code__", None)):
        clause = f"torch.nn.functional.{function} is {where(current)}"
        yield Suspect(clause, lambda: _set(functional, function, original))


def _unlike(model: Model, name: str, module: Any, expected: Any) -> Iterator[Suspect]:
    kind, of_class = type(unwrapped(module)), type(expected)
    if kind is not of_class:
        found = kind.__name__ if kind.__name__ != of_class.__name__ else f"{kind.__module__}.{kind.__name__}"
        clause = f"{name} is {found}, its class has {of_class.__name__}"
        if not issubclass(kind, of_class):
            yield Suspect(clause, lambda: _called_as(module, _filled(model, name, expected)))
            return
        yield Suspect(clause, lambda: _set(module, "__class__", of_class))
    mine, of_fresh = _parameters(unwrapped(module)), _parameters(expected)
    for field in of_fresh:
        if field in mine and mine[field] != of_fresh[field] and field not in _IDLE:
            shown = [each.__name__ if isinstance(each, type) else each for each in (mine[field], of_fresh[field])]
            clause = f"{name}.{field} is {shown[0]}, its class has {shown[1]}"
            yield Suspect(clause, partial(_set, module, field, getattr(expected, field)))


def _parameters(module: Any) -> dict[str, Any]:
    """What a layer was built with: plain values, and the processor of an attention by its class."""
    plain: dict[str, Any] = {}
    for field, value in vars(module).items():
        if field.startswith("_") and field not in _PRIVATE:
            # torch's own, and copies of public fields.
            continue
        if isinstance(value, (bool, int, float, str, type(None))):
            plain[field] = value
        elif isinstance(value, (tuple, list)) and all(isinstance(each, (bool, int, float, str)) for each in value):
            plain[field] = tuple(value)
        elif field == "processor":
            plain[field] = type(value)
    return plain


@lru_cache(maxsize=1)
def _functional() -> Any:
    """torch.nn.functional as it was written, whatever was put into it since."""
    spec = importlib.util.find_spec("torch.nn.functional")
    assert spec is not None and spec.loader is not None, "torch is loaded"
    module = importlib.util.module_from_spec(spec)
    # The functions that torch has in C have their docstrings, which cannot be set twice.
    with _set(sys.modules["torch"]._C, "_add_docstr", lambda function, text: function):
        spec.loader.exec_module(module)
    return module


def _is_wrapper(function: Any) -> bool:
    """Whether a layer's own forward() is one that offloads or casts, and calls the class's."""
    return _is_of(function, _WRAPPERS)


def _is_of(function: Any, packages: tuple[str, ...]) -> bool:
    """Whether a function, or the class of a callable object, was written in one of these packages."""
    plain = _plain(function)
    code = getattr(plain, "__code__", None)
    if code is None:
        return f"{type(plain).__module__}.".startswith(tuple(f"{each}." for each in packages))
    if code.co_filename.startswith("<"):
        return f"{getattr(plain, '__module__', '')}.".startswith(tuple(f"{each}." for each in packages))
    path = os.path.abspath(code.co_filename)
    return any(path.startswith(root) for root in map(_folder, packages) if root)


def _folder(package: str) -> Optional[str]:
    first, *rest = package.split(".")
    module = sys.modules.get(first)
    file = getattr(module, "__file__", None)
    return None if file is None else os.path.join(os.path.dirname(os.path.abspath(file)), *rest) + os.sep


def _foreign(method: Any, kind: type) -> Optional[str]:
    """Where a method of a class was written, if not beside the class or one that it derives from."""
    code = getattr(_plain(method), "__code__", None)
    if method is None or code is None or _is_of(method, _LIBRARIES):
        return None
    home = {getattr(sys.modules.get(base.__module__), "__file__", None) for base in kind.__mro__ if base is not object}
    is_own = any(method is vars(base).get(method.__name__) for base in kind.__mro__) and code.co_filename in home
    # A class of the user's own is told as that.
    return None if is_own and method.__qualname__.startswith(kind.__qualname__) else where(method)


def _plain(function: Any) -> Any:
    """The function behind a bound method or a partial: the outermost that was written, not what it wraps."""
    while True:
        if isinstance(function, MethodType):
            function = function.__func__
        elif hasattr(function, "func") and hasattr(function, "args"):
            function = function.func
        else:
            return function


@contextlib.contextmanager
def _without(held: dict[str, Any], key: str) -> Iterator[None]:
    value = held.pop(key)
    try:
        yield
    finally:
        held[key] = value


@contextlib.contextmanager
def _unhooked(hooks: Any, key: Any) -> Iterator[None]:
    kept = list(hooks.items())
    del hooks[key]
    try:
        yield
    finally:
        # Hooks run in their order.
        hooks.clear()
        hooks.update(kept)


@contextlib.contextmanager
def _emptied(held: Any) -> Iterator[None]:
    kept = dict(held)
    held.clear()
    try:
        yield
    finally:
        held.update(kept)


@contextlib.contextmanager
def _set(held: Any, field: str, value: Any) -> Iterator[None]:
    before = getattr(held, field)
    setattr(held, field, value)
    try:
        yield
    finally:
        setattr(held, field, before)


@contextlib.contextmanager
def _with_values(module: Any, leaf: str, model: Model, name: str) -> Iterator[None]:
    """Lets a layer compute with a plain tensor of the same values."""
    held, torch = module._parameters[leaf], sys.modules["torch"]
    module._parameters[leaf] = torch.nn.Parameter(model.without_adapters(name), requires_grad=False)
    try:
        yield
    finally:
        module._parameters[leaf] = held


def _filled(model: Model, name: str, expected: Any) -> Any:
    """A module of the class with the model's values."""
    made = copy.deepcopy(expected).to_empty(device=model.device())
    values = {leaf: model.without_adapters(f"{name}.{leaf}") for leaf in made.state_dict()}
    made.load_state_dict(values, assign=True)
    return made.eval()


@contextlib.contextmanager
def _called_as(module: Any, expected: Any) -> Iterator[None]:
    """Lets a module compute what another one does."""
    with contextlib.ExitStack() as stack:
        if "forward" in vars(module):
            stack.enter_context(_without(vars(module), "forward"))
        module.forward = expected.forward
        try:
            yield
        finally:
            del module.forward
