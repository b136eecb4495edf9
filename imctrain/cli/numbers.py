"""Options that take several numbers: repeated, or in a list with commas."""

from __future__ import annotations

import math
from collections.abc import Sequence

from imctrain.errors import UserError


def numbers(option: str, given: Sequence[str] | None) -> tuple[float, ...]:
    """The numbers of an option, in order; empty where it was not given. Raises UserError for what is no number."""
    return tuple(_number(option, text) for item in given or () for text in item.split(","))


def _number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{option} {text!r} is no number: give one, or several with commas, such as -40,25,85")
    return value
