"""Comparing figures of 1e-15 J: pytest.approx alone takes whatever differs by less than 1e-12 for equal."""

from __future__ import annotations

import functools

import pytest

near = functools.partial(pytest.approx, rel=1e-6, abs=0.0)
"""Equal within a relative error: `near(x)`, `near(x, rel=1e-3)`."""
