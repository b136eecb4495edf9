"""Parameters that are left to `make test-all`."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: object, id: str | None = None) -> Any:
    """The values of one case, marked slow."""
    return pytest.param(*values, marks=pytest.mark.slow, id=id)
