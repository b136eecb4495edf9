"""As many exponents a pass as the DAC's levels hold (this project's, after the paper's abstract)."""

from __future__ import annotations

import math

from imctrain.formats import RADIX4
from imctrain.imc.coding.passes import Mapping


def grouped(levels: int, passes: int = 0) -> Mapping:
    """As many exponents a pass as fit between 1 and L; the last pass uses the largest codes that hold it."""
    del passes
    exponents = RADIX4.exponents
    per_pass = math.floor(math.log(levels, 4) + 1e-9) + 1
    count = -(-exponents // per_pass)
    codes = [[0] * count for _ in range(exponents)]
    coefficients = []
    for p in range(count):
        group = range(p * per_pass, min((p + 1) * per_pass, exponents))
        top = 4 ** (per_pass - 1)
        coefficient = 4 ** group[-1] // top if 4 ** group[-1] >= top else 1
        coefficients.append(float(coefficient))
        for k in group:
            codes[k][p] = 4**k // coefficient
    return Mapping(tuple(coefficients), tuple(tuple(row) for row in codes))


MEMBER = grouped
