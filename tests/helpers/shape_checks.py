"""Shape annotations of jaxtyping, checked at every call that tests make.

Functions without such an annotation stay bare: wrapping them all doubles the time that tracing takes. Of the others
beartype gets the shapes and nothing else: it refuses `Self` and protocols in a method, and mypy checks types.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_args

import beartype
import jaxtyping

Function = TypeVar("Function", bound=Callable[..., object])


def names_a_shape(hint: object) -> bool:
    """Whether jaxtyping's arrays, or trees of them, are in an annotation."""
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.PyTree):
        return names_a_shape(getattr(hint, "leaftype", None))
    return any(names_a_shape(part) for part in get_args(hint))


def annotations(fn: object) -> Iterator[object]:
    """What annotates a function, a property, a method of a class or a dataclass, as far as it can be read by now."""
    if inspect.isclass(fn):
        fn = fn.__init__ if dataclasses.is_dataclass(fn) else None
    fn = getattr(fn, "fget", getattr(fn, "__func__", fn))
    for hint in getattr(fn, "__annotations__", {}).values():
        if isinstance(hint, str):
            try:
                hint = eval(hint, fn.__globals__)
            except Exception:
                # Only a type checker imports it, or it is defined further down.
                continue
        yield hint


def shapes_only(fn: Function) -> Function:
    """beartype for what is annotated with a shape."""
    fn.__annotations__ = {name: hint for name, hint in fn.__annotations__.items() if names_a_shape(hint)}
    return beartype.beartype(fn)


def install() -> None:
    """Check the modules of imctrain that are imported from now on."""
    every = jaxtyping.jaxtyped

    def jaxtyped(*args: Any, **options: Any) -> Any:
        if args:
            return every(*args, **options)
        return lambda fn: every(fn, **options) if any(map(names_a_shape, annotations(fn))) else fn

    jaxtyping.jaxtyped = jaxtyped
    jaxtyping.install_import_hook("imctrain", "shape_checks.shapes_only")
