"""Mapping of an input operand to passes of the multi-level DAC: X = sum_p c_p X_p with X_p in -L..L.

An integer operand (int4, uint4) goes in one pass: as its own code, c = (1,), or over the whole DAC (`full_drive`):

    int4   -7..7     X_1 = 2 x,        c = (1/2)         for L = 16
    uint4   0..15    X_1 = 2 x - 15,   c = (1/2)         and 7.5 times the stored operand's sum is added digitally

which halves the noise of both. A radix-4 magnitude 4**k becomes the codes of row k of a
table. Additive noise of a conversion reaches the output multiplied by sqrt(sum c_p^2), whatever the codes are:

    bit_serial   one exponent a pass, each driven at full swing            sqrt(sum c^2) = 264.4, 7 passes (L = 16)
    grouped      as many exponents a pass as the DAC's levels hold         263.9, 3 passes
    balanced     signed codes on nearly equal coefficients (`balanced`)    150.1, 3 passes

bit_serial is the scheme of the predecessor (Grimm and Verma 2022): a 1-bit input that is on drives the full swing,
so its code is L and its coefficient 4**k / L. The other two are this project's (grouped follows the paper's
abstract, "gradients mapped to multi-level analog inputs").
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from imctrain.errors import UserError
from imctrain.formats import top_code
from imctrain.imc.balanced import balanced_codes, search_balanced
from imctrain.imc.hardware import RADIX4_EXPONENTS, ArraySpec, MappingSpec


@dataclass(frozen=True)
class Mapping:
    """Passes of an input operand.

    Attributes:
        coefficients: c_p, the digital weight of each pass.
        codes: codes[k][p] for magnitude 4**k; empty for an integer operand.
        centre: the integer operand's value that is driven as code 0 (see `centring`).
    """

    coefficients: tuple[float, ...]
    codes: tuple[tuple[int, ...], ...] = ()
    centre: float = 0.0

    @property
    def passes(self) -> int:
        return len(self.coefficients)

    @property
    def noise_gain(self) -> float:
        """sqrt(sum c_p^2): what additive noise of a conversion is multiplied by."""
        return math.sqrt(sum(c * c for c in self.coefficients))

    def drive(self, values: Array) -> Array:
        """Codes of each pass, float32 [P, *values.shape].

        Args:
            values: integer codes, or radix-4 levels (0, +-4**k) for a table mapping.
        """
        if not self.codes:
            return ((values - self.centre) / self.coefficients[0])[None]
        magnitude = jnp.abs(values)
        passes = []
        for p in range(self.passes):
            code = jnp.zeros_like(magnitude)
            for k, row in enumerate(self.codes):
                if row[p]:
                    code = jnp.where(magnitude == 4.0**k, float(row[p]), code)
            passes.append(jnp.where(values < 0, -code, code))
        return jnp.stack(passes)


INTEGER = Mapping((1.0,))


@functools.cache
def full_drive(levels: int, signed: bool) -> Mapping:
    """An int4 or uint4 operand on as much of the DAC as a whole number of steps a code allows."""
    top = top_code(signed)
    # Codes 0..15 have their middle between two codes: an odd number of steps cannot be centred on it.
    steps = levels // top if signed else 2 * levels // top
    centre = 0.0 if signed else top / 2 if steps % 2 == 0 else (top + 1) / 2
    if steps < 1 or steps * max(centre, top - centre) > levels:
        raise UserError(
            f"mapping.full_drive needs a DAC of at least {(top + 1) // 2} levels to a side, this one has {levels}: "
            "raise array.input_bits or leave full_drive off"
        )
    return Mapping((1.0 / steps,), centre=centre)


def bit_serial(levels: int, exponents: int = RADIX4_EXPONENTS) -> Mapping:
    """One pass an exponent, at full swing."""
    codes = tuple(tuple(levels if p == k else 0 for p in range(exponents)) for k in range(exponents))
    return Mapping(tuple(4.0**k / levels for k in range(exponents)), codes)


def grouped(levels: int, exponents: int = RADIX4_EXPONENTS) -> Mapping:
    """As many exponents a pass as fit between 1 and L; the last pass uses the largest codes that hold it."""
    per_pass = math.floor(math.log(levels, 4) + 1e-9) + 1
    passes = -(-exponents // per_pass)
    codes = [[0] * passes for _ in range(exponents)]
    coefficients = []
    for p in range(passes):
        group = range(p * per_pass, min((p + 1) * per_pass, exponents))
        top = 4 ** (per_pass - 1)
        coefficient = 4 ** group[-1] // top if 4 ** group[-1] >= top else 1
        coefficients.append(float(coefficient))
        for k in group:
            codes[k][p] = 4**k // coefficient
    return Mapping(tuple(coefficients), tuple(tuple(row) for row in codes))


def balanced(levels: int, exponents: int = RADIX4_EXPONENTS, passes: int = 3) -> Mapping:
    """The coefficients of least sqrt(sum c^2) that reach every magnitude in `passes` passes."""
    coefficients = search_balanced(levels, exponents, passes)
    if coefficients is None:
        raise UserError(
            f"no balanced mapping reaches {exponents} exponents with input codes -{levels}..{levels} in {passes} "
            "passes: raise mapping.passes or array.input_bits, or use mapping.gradient = 'bit_serial'"
        )
    return Mapping(tuple(float(c) for c in coefficients), balanced_codes(coefficients, levels, exponents))


@functools.cache
def gradient_mapping(spec: MappingSpec, array: ArraySpec) -> Mapping:
    """The mapping that a configuration asks for."""
    match spec.gradient:
        case "bit_serial":
            return bit_serial(array.levels)
        case "grouped":
            return grouped(array.levels)
        case "balanced":
            return balanced(array.levels, passes=spec.passes)
