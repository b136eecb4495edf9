"""The fewest passes whose codes reach every value, with the least noise."""

from __future__ import annotations

from imctrain.formats import IntegerFormat
from imctrain.imc.coding.passes import Mapping
from imctrain.imc.coding.search import even_codes, search_integers
from imctrain.settings import ArraySpec


def balanced_passes(levels: int, top: int, *, signed: bool, centre: float = 0.0) -> Mapping:
    """The fewest passes that reach 0..top, and -top..-1 where `signed`, with the least noise."""
    coefficients = search_integers(levels, top, signed=signed)
    values = tuple(range(1, top + 1))
    codes = even_codes(coefficients, -levels if signed else 0, levels, values)
    return Mapping(tuple(float(c) for c in coefficients), codes, centre, values)


def balanced(array: ArraySpec, fmt: IntegerFormat, centre: float) -> Mapping:
    """Of a format's codes around a centre."""
    largest = int(max(fmt.top - centre, centre - fmt.lowest))
    return balanced_passes(array.levels, largest, signed=fmt.lowest < centre, centre=centre)


MEMBER = balanced
