"""Passes of an integer operand: int4 codes -7..7 or uint4 codes 0..15 on a DAC of L levels.

Where the DAC holds the codes they are driven as they are, c = (1,), or over the whole DAC (`mapping.full_drive`):

    int4   -7..7     X_1 = 2 x,        c = (1/2)         for L = 16
    uint4   0..15    X_1 = 2 x - 15,   c = (1/2)         and 7.5 times the stored operand's sum is added digitally

which halves the noise of both. A DAC of fewer levels takes several passes (`mapping.activation`), for uint4:

    L    balanced       digit_serial
    8    1, 1           8, 1
    4    3, 1           4, 1
    2    4, 3, 1        4, 2, 1, 1/2
    1    8, 4, 2, 1     8, 4, 2, 1

balanced takes the fewest passes whose codes reach every value, of those the coefficients of least sum c^2, and then the
most even codes (`balanced`). At equal conversions its noise, L sqrt(P sum c^2), is at most 1.3 dB above that of one
pass on 16 levels. This project's decision. digit_serial cuts the code, as hardware does it, into digits of as many bits
as the DAC holds, and drives each over as much of it as whole steps allow. With one bit it is the bit-serial input of
most published macros. A signed code has the digits of its magnitude, and its sign in every pass.

Codes that cannot be negative stay so in every pass, whose converter may then be unipolar. (Signed passes would reach
0..15 with 6, 5, 3, 1 at L = 1, 0.8 dB below 8, 4, 2, 1, on a converter whose LSB is twice as large.)

A DAC without negative codes drives int4 differentially (`mapping`), or with `full_drive` above its lowest code, as
x + 7 in 0..14, in half the passes; the stored operand's sum is then taken off digitally, and a zero drives its row.
"""

from __future__ import annotations

import functools

from imctrain.formats import top_code
from imctrain.imc.coding.passes import Mapping
from imctrain.imc.coding.search import even_codes, search_integers
from imctrain.settings import ArraySpec, MappingSpec


@functools.cache
def integer_mapping(spec: MappingSpec, array: ArraySpec, signed: bool) -> Mapping:
    """How a configuration drives int4 (`signed`) or uint4 codes. No code is beyond the DAC's."""
    levels, top = array.levels, top_code(signed)
    lowest = -top if signed else 0
    centre, steps = full_drive(array, signed) if spec.full_drive else (0.0, 1)
    largest = max(top - centre, centre - lowest)
    if steps * largest <= levels:
        mapping = Mapping((1.0 / steps,), centre=centre)
    elif spec.activation == "balanced":
        mapping = balanced_passes(levels, int(largest), signed=lowest < centre, centre=centre)
    elif array.drive == "signed":
        # Around a centre, digits would have a sign to carry and save no pass.
        mapping = digit_serial(levels, top)
    else:
        mapping = digit_serial(levels, int(largest), centre=centre)
    reachable = array.drive == "signed" or mapping.non_negative(lowest)
    return mapping if reachable else mapping.as_differential()


def full_drive(array: ArraySpec, signed: bool) -> tuple[float, int]:
    """(centre, steps): a value x is driven as steps * (x - centre), over as much of the DAC as whole steps allow.

    Steps are 1 where the DAC does not even hold that; centres are then whole numbers.
    """
    levels, top = array.levels, top_code(signed)
    if array.drive == "unsigned":
        span = 2 * top if signed else top
        return (-float(top) if signed else 0.0), max(levels // span, 1)
    if signed:
        return 0.0, max(levels // top, 1)
    # Codes 0..15 have their middle between two codes: only an even number of steps can be centred on it.
    middle, above = 2 * (levels // top), levels // ((top + 1) // 2)
    return (top / 2, middle) if middle >= above and middle else ((top + 1) / 2, max(above, 1))


def balanced_passes(levels: int, top: int, *, signed: bool, centre: float = 0.0) -> Mapping:
    """The fewest passes that reach 0..top, and -top..-1 where `signed`, with the least noise."""
    coefficients = search_integers(levels, top, signed=signed)
    values = tuple(range(1, top + 1))
    codes = even_codes(coefficients, -levels if signed else 0, levels, values)
    return Mapping(tuple(float(c) for c in coefficients), codes, centre, values)


def digit_serial(levels: int, top: int, centre: float = 0.0) -> Mapping:
    """A pass for each digit of 0..top, the most significant one first; what is negative has its sign in all of them."""
    bits = (levels + 1).bit_length() - 1
    steps = levels // (2**bits - 1)
    digits = -(-top.bit_length() // bits)
    places = tuple(bits * p for p in reversed(range(digits)))
    values = tuple(range(1, top + 1))
    codes = tuple(tuple(steps * (value >> place & 2**bits - 1) for place in places) for value in values)
    return Mapping(tuple(2**place / steps for place in places), codes, centre, values)
