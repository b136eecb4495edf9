"""Draws for the tests of the array."""

from __future__ import annotations

import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Draws that belong to one test and one of its parameters, so that they do not depend on what ran before."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
