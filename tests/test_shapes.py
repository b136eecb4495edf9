"""Shapes that annotations of jaxtyping state are checked at every call in this suite."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import jax.numpy as jnp
import jaxtyping
import pytest

import imctrain
import imctrain.intercept
import imctrain.training.network

MODULE = """
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from jax import Array
from jaxtyping import Float, PyTree


class Named(Protocol):
    name: str


@dataclass
class Pair:
    first: Float[Array, "n"]
    second: Float[Array, "n"]

    def swapped(self, other: Missing | None = None) -> Self:
        return self


def product(x: Float[Array, "m k"], w: Float[Array, "k n"], how: Named | None = None) -> Float[Array, "m n"]:
    return x @ w if how is None else x


def scaled(tree: PyTree[Float[Array, "n"]]) -> PyTree[Float[Array, "n"]]:
    return tree
"""


@pytest.fixture
def shaped(tmp_path, monkeypatch):
    """A module of the package that annotates shapes."""
    (tmp_path / "shaped_for_a_test.py").write_text(MODULE)
    monkeypatch.setattr(imctrain, "__path__", [*imctrain.__path__, str(tmp_path)])
    yield importlib.import_module("imctrain.shaped_for_a_test")
    del sys.modules["imctrain.shaped_for_a_test"]


def test_what_has_the_shapes_that_are_stated_runs(shaped):
    assert shaped.product(jnp.ones((2, 3)), jnp.ones((3, 4))).shape == (2, 4)
    assert shaped.Pair(jnp.ones(3), jnp.ones(3)).swapped().first.shape == (3,)
    assert set(shaped.scaled({"a": jnp.ones(2), "b": jnp.ones(2)})) == {"a", "b"}


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda m: m.product(jnp.ones((2, 3)), jnp.ones((4, 5))), id="two arguments disagree"),
        pytest.param(lambda m: m.product(jnp.ones(3), jnp.ones((3, 4))), id="rank"),
        pytest.param(lambda m: m.product(jnp.ones((2, 3), int), jnp.ones((3, 4))), id="dtype"),
        pytest.param(lambda m: m.product(jnp.ones((2, 3)), jnp.ones((3, 4)), how=1), id="result"),
        pytest.param(lambda m: m.Pair(jnp.ones(2), jnp.ones(3)), id="fields of a dataclass"),
        pytest.param(lambda m: m.scaled({"a": jnp.ones(2), "b": jnp.ones(3)}), id="leaves of a tree"),
    ],
)
def test_a_wrong_shape_is_found(shaped, call):
    with pytest.raises(jaxtyping.TypeCheckError):
        call(shaped)


def test_every_module_that_is_imported_is_checked():
    """What is imported before the hook stands never is."""
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "imctrain"]
    assert len(modules) > 20
    assert [module.__name__ for module in modules if "Jaxtyping" not in type(module.__loader__).__name__] == []


def test_shapes_can_be_read_when_a_program_runs():
    """A name that only a type checker imports is unknown to the hook, which would then check nothing."""
    unread = []
    for path in Path(imctrain.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
                inside = (part for part in ast.walk(node) if isinstance(part, ast.ImportFrom))
                unread += [path for part in inside if part.module == "jaxtyping"]
    assert unread == []


def test_shapes_are_strings():
    """`Float[Array, 2]` cannot be read, and what cannot be read is not checked; formatters take the quotes off "2"."""
    kinds = {name for name in dir(jaxtyping) if isinstance(getattr(jaxtyping, name), type)} | {"Shaped", "Float", "Int"}
    wrong = []
    for path in Path(imctrain.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Subscript(ast.Name(name), ast.Tuple([_, ast.Constant(shape)])) if name in kinds:
                    wrong += [f"{path}:{node.lineno}"] if not isinstance(shape, str) and shape is not ... else []
    assert wrong == []
