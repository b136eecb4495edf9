"""Joules and seconds in the unit that gives them a digit before the point."""

from __future__ import annotations

JOULES = (("J", 1.0), ("mJ", 1e3), ("uJ", 1e6), ("nJ", 1e9))
SECONDS = (("h", 1 / 3600), ("min", 1 / 60), ("s", 1.0), ("ms", 1e3), ("us", 1e6))


def joules_unit(value: float, least: float = 1.0) -> tuple[str, float]:
    """The largest unit in which so many joules are `least` or more, and units in a joule."""
    return next((found for found in JOULES if value * found[1] >= least), ("pJ", 1e12))


def seconds_unit(value: float, least: float = 1.0) -> tuple[str, float]:
    """The same of seconds."""
    return next((found for found in SECONDS if value * found[1] >= least), ("ns", 1e9))


def joules(value: float) -> str:
    """An energy, three digits."""
    unit, scale = joules_unit(value)
    return f"{value * scale:.3g} {unit}" if value < 1000 else f"{value:.4g} J"


def seconds(value: float) -> str:
    """A time, three digits."""
    unit, scale = seconds_unit(value)
    return f"{value * scale:.3g} {unit}"
