"""Passes of an integer operand on a DAC of L levels; int4 codes -7..7 and uint4 codes 0..15 stand for all widths.

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
most even codes (`search`). At equal conversions its noise, L sqrt(P sum c^2), is at most 1.3 dB above that of one
pass on 16 levels. This project's decision. digit_serial cuts the code, as hardware does it, into digits of as many bits
as the DAC holds, and drives each over as much of it as whole steps allow. With one bit it is the bit-serial input of
most published macros. A signed code has the digits of its magnitude, and its sign in every pass.

Codes that cannot be negative stay so in every pass, whose converter may then be unipolar. (Signed passes would reach
0..15 with 6, 5, 3, 1 at L = 1, 0.8 dB below 8, 4, 2, 1, on a converter whose LSB is twice as large.)

A DAC without negative codes drives int4 differentially (`passes`), or with `full_drive` above its lowest code, as
x + 7 in 0..14, in half the passes; the stored operand's sum is then taken off digitally, and a zero drives its row.
"""

from __future__ import annotations

import functools
from typing import Protocol

from imctrain.families import member
from imctrain.formats import IntegerFormat
from imctrain.imc.coding.passes import Mapping
from imctrain.settings import ArraySpec, MappingSpec


class IntegerMapping(Protocol):
    """A member of `integer_mappings`."""

    def __call__(self, array: ArraySpec, fmt: IntegerFormat, centre: float) -> Mapping:
        """Several passes of a format's codes around a centre; a DAC without negative codes may be left to others."""
        ...


@functools.cache
def integer_mapping(spec: MappingSpec, array: ArraySpec, fmt: IntegerFormat) -> Mapping:
    """How a configuration drives the codes of a format. No code is beyond the DAC's."""
    centre, steps = full_drive(array, fmt) if spec.full_drive else (0.0, 1)
    if steps * max(fmt.top - centre, centre - fmt.lowest) <= array.levels:
        mapping = Mapping((1.0 / steps,), centre=centre)
    else:
        make: IntegerMapping = member("imctrain.imc.coding.integer_mappings", spec.activation)
        mapping = make(array, fmt, centre)
    reachable = array.drive == "signed" or mapping.non_negative(fmt.lowest)
    return mapping if reachable else mapping.as_differential()


def full_drive(array: ArraySpec, fmt: IntegerFormat) -> tuple[float, int]:
    """(centre, steps): a value x is driven as steps * (x - centre), over as much of the DAC as whole steps allow.

    Steps are 1 where the DAC does not even hold that; centres are then whole numbers.
    """
    levels, top = array.levels, fmt.top
    if array.drive == "unsigned":
        return float(fmt.lowest), max(levels // fmt.span, 1)
    if fmt.signed:
        return 0.0, max(levels // top, 1)
    # Unsigned codes have their middle between two codes: only an even number of steps can be centred on it.
    middle, above = 2 * (levels // top), levels // ((top + 1) // 2)
    return (top / 2, middle) if middle >= above and middle else ((top + 1) / 2, max(above, 1))
