"""Signed codes on nearly equal coefficients: the least noise for a number of passes (this project's)."""

from __future__ import annotations

from imctrain.errors import UserError
from imctrain.formats import RADIX4
from imctrain.imc.coding.passes import Mapping
from imctrain.imc.coding.search import balanced_codes, search_balanced


def balanced(levels: int, passes: int = 3) -> Mapping:
    """The coefficients of least sqrt(sum c^2) that reach every magnitude in `passes` passes."""
    exponents = RADIX4.exponents
    coefficients = search_balanced(levels, exponents, passes)
    if coefficients is None:
        raise UserError(
            f"no balanced mapping found that reaches {exponents} exponents with input codes -{levels}..{levels} in "
            f"{passes} passes: raise mapping.passes or array.input_bits, or use mapping.gradient = 'bit_serial'"
        )
    return Mapping(tuple(float(c) for c in coefficients), balanced_codes(coefficients, levels, exponents))


MEMBER = balanced
