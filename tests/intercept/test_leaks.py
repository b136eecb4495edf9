"""Leaked tracers are found, by the checks that other tests here ask for (conftest.py)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.leak_checks]
KEPT: list[jax.Array] = []
"""Older than the test, as the caches of a library are."""


def test_a_tracer_that_outlives_its_trace_is_found():
    def leaking(x: jax.Array) -> jax.Array:
        KEPT.append(x * 2)
        return x

    try:
        with pytest.raises(Exception, match="Leaked trace"):
            jax.jit(leaking)(jnp.ones(2))
        assert KEPT
    finally:
        KEPT.clear()
    assert float(jax.jit(lambda x: x + 1)(1.0)) == 2
