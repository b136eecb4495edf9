"""How work that takes long tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float], None]
"""Called with the fraction of the work that is done."""


def untold(fraction: float) -> None:
    """The progress of work that nobody watches."""
