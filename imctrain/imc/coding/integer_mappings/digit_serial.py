"""Digits of as many bits as the DAC's codes hold, as hardware does it; with one bit, bit-serial input."""

from __future__ import annotations

from imctrain.formats import IntegerFormat
from imctrain.imc.coding.passes import Mapping
from imctrain.settings import ArraySpec


def digits(levels: int, top: int, centre: float = 0.0) -> Mapping:
    """A pass for each digit of 0..top, the most significant one first; what is negative has its sign in all of them."""
    bits = (levels + 1).bit_length() - 1
    steps = levels // (2**bits - 1)
    count = -(-top.bit_length() // bits)
    places = tuple(bits * p for p in reversed(range(count)))
    values = tuple(range(1, top + 1))
    codes = tuple(tuple(steps * (value >> place & 2**bits - 1) for place in places) for value in values)
    return Mapping(tuple(2**place / steps for place in places), codes, centre, values)


def digit_serial(array: ArraySpec, fmt: IntegerFormat, centre: float) -> Mapping:
    """Of a format's codes; on a signed drive around 0, where digits have a sign to carry and a centre saves no pass."""
    if array.drive == "signed":
        return digits(array.levels, fmt.top)
    return digits(array.levels, int(max(fmt.top - centre, centre - fmt.lowest)), centre)


MEMBER = digit_serial
