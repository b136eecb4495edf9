"""The key that calls of an intercepted function take where its value does not matter."""

from __future__ import annotations

import jax
import pytest


@pytest.fixture
def key() -> jax.Array:
    return jax.random.key(7)
