"""One exponent a pass, each driven at full swing: the scheme of Grimm and Verma (2022)."""

from __future__ import annotations

from imctrain.formats import RADIX4
from imctrain.imc.coding.passes import Mapping


def bit_serial(levels: int, passes: int = RADIX4.exponents) -> Mapping:
    """One pass an exponent, at full swing; there is no choice of passes."""
    del passes
    exponents = range(RADIX4.exponents)
    codes = tuple(tuple(levels if p == k else 0 for p in exponents) for k in exponents)
    return Mapping(tuple(4.0**k / levels for k in exponents), codes)


MEMBER = bit_serial
