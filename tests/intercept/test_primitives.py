"""Every primitive that JAX, flax and equinox define is sorted: a new or a renamed one is found here, not by a user."""

from __future__ import annotations

import json
import subprocess
import sys

import jax
import pytest

from imctrain.intercept import _jax_internals, known_primitives

SETS = ("ARRAY_OPERATIONS", "HIDDEN_MATMULS", "LINEAR_ALGEBRA", "FOREIGN", "NESTED", "MULTIPLY_NOTHING")
GROUPS = (
    "ELEMENTWISE",
    "REDUCTIONS_AND_SORTS",
    "MOVES",
    "RANDOM",
    "BETWEEN_DEVICES",
    "BOOKKEEPING",
    "REFERENCES",
    "INSIDE_KERNELS",
    "OTHER_LIBRARIES",
)

WALK = """
import gc, importlib, json, pkgutil
import jax
from jax._src.interpreters import ad, batching, mlir

import equinox, equinox.internal, flax.linen, flax.nnx

for module in pkgutil.walk_packages(jax.__path__, "jax."):
    try:
        importlib.import_module(module.name)
    except (ImportError, AttributeError):  # what needs a package or a machine that is not here
        pass

tables = [mlir._lowerings, *mlir._platform_specific_lowerings.values(), ad.primitive_jvps, ad.primitive_transposes]
tables += [ad.fancy_transposes, ad.primitive_linearizations, batching.fancy_primitive_batchers]
registered = {primitive.name for table in tables for primitive in table}
alive = {found.name for found in gc.get_objects() if isinstance(found, jax.extend.core.Primitive)}
print(json.dumps({"registered": sorted(registered), "alive": sorted(alive)}))
"""
"""Runs in a process of its own: other tests register primitives too."""


@pytest.fixture(scope="module")
def found():
    """Names of the primitives that have a rule for lowering, derivatives or batching, and of all that exist."""
    done = subprocess.run([sys.executable, "-c", WALK], check=True, capture_output=True, text=True)
    return {kind: set(names) for kind, names in json.loads(done.stdout.splitlines()[-1]).items()}


def of_this_package():
    return {v.name for v in vars(_jax_internals).values() if isinstance(v, jax.extend.core.Primitive)}


def not_sorted(names, sets):
    return sorted(name for name in names if not any(name in one for one in sets.values()))


@pytest.fixture
def sets():
    return {name: getattr(known_primitives, name) for name in SETS}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["registered", "alive"])
def test_every_primitive_is_sorted(found, sets, kind):
    assert len(found[kind]) > 300
    assert not_sorted(found[kind] | of_this_package(), sets) == []


@pytest.mark.slow
def test_a_name_that_is_taken_out_is_missed(found, sets):
    for name, names in sets.items():
        for taken in names - of_this_package():
            assert not_sorted(found["alive"], {**sets, name: names - {taken}}) == [taken]


@pytest.mark.parametrize("names", [SETS, GROUPS])
def test_no_primitive_is_in_two_sets(names):
    sets = [getattr(known_primitives, name) for name in names]
    assert sum(map(len, sets)) == len(frozenset().union(*sets))


@pytest.mark.slow
def test_every_name_is_one_that_exists(found, sets):
    """A name that no release has any more would hide that its successor is not sorted."""
    assert sorted(frozenset().union(*sets.values()) - found["alive"] - of_this_package()) == []
