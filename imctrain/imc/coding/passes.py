"""Mapping of an input operand to passes of the multi-level DAC: X = sum_p c_p X_p with X_p in -L..L.

Additive noise of a conversion reaches the output multiplied by sqrt(sum c_p^2), whatever the codes are. An integer
operand (int4, uint4) goes in one pass where the DAC holds its codes, else in several: see `integer_mapping`. A radix-4
magnitude 4**k becomes the codes of row k of a table, at L = 16:

    bit_serial   one exponent a pass, each driven at full swing            sqrt(sum c^2) = 264.4, 7 passes
    grouped      as many exponents a pass as the DAC's levels hold         263.9, 3 passes
    balanced     signed codes on nearly equal coefficients (`balanced`)    147.8, 3 passes

bit_serial is the scheme of the predecessor (Grimm and Verma 2022): a 1-bit input that is on drives the full swing,
so its code is L and its coefficient 4**k / L. The other two are this project's (grouped follows the paper's
abstract, "gradients mapped to multi-level analog inputs").

A DAC without negative codes (`array.drive` = "unsigned") drives what can be negative differentially: every pass is done
twice, for the positive codes with +c_p and for the negative ones, turned, with -c_p. That costs twice the passes and
sqrt(2) in noise; a column's offset cancels. This project's decision.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
from jax import Array

from imctrain.errors import UserError
from imctrain.imc.coding.search import balanced_codes, search_balanced
from imctrain.settings import RADIX4_EXPONENTS, ArraySpec, MappingSpec

RADIX4_MAGNITUDES = tuple(4**k for k in range(RADIX4_EXPONENTS))


@dataclass(frozen=True)
class Mapping:
    """Passes of an input operand.

    Attributes:
        coefficients: c_p, the digital weight of each pass.
        codes: codes[i][p] for the magnitude magnitudes[i]; empty for one pass of the value itself over c_1.
        centre: the integer operand's value that is driven as code 0 (see `centring`).
        magnitudes: of the operand around its centre, that have a row of codes; negative values have the codes turned.
        differential: the second half of the passes drives what is negative in the first half, turned.
    """

    coefficients: tuple[float, ...]
    codes: tuple[tuple[int, ...], ...] = ()
    centre: float = 0.0
    magnitudes: tuple[int, ...] = RADIX4_MAGNITUDES
    differential: bool = False

    @property
    def passes(self) -> int:
        """P."""
        return len(self.coefficients)

    @property
    def noise_gain(self) -> float:
        """sqrt(sum c_p^2): what additive noise of a conversion is multiplied by."""
        return math.sqrt(sum(c * c for c in self.coefficients))

    def drive(self, values: Array) -> Array:
        """Codes of each pass, float32 [P, *values.shape].

        Args:
            values: integer codes, or radix-4 levels (0, +-4**k).
        """
        codes = self._codes(values)
        return jnp.concatenate([jnp.maximum(codes, 0.0), jnp.maximum(-codes, 0.0)]) if self.differential else codes

    def _codes(self, values: Array) -> Array:
        """Codes of either sign, of the first half of the passes where they are differential."""
        if not self.codes:
            return ((values - self.centre) / self.coefficients[0])[None]
        values = values - self.centre if self.centre else values
        magnitude = jnp.abs(values)
        passes = []
        for p in range(len(self.codes[0])):
            code = jnp.zeros_like(magnitude)
            for size, row in zip(self.magnitudes, self.codes, strict=False):
                if row[p]:
                    code = jnp.where(magnitude == float(size), float(row[p]), code)
            passes.append(jnp.where(values < 0, -code, code))
        return jnp.stack(passes)

    def non_negative(self, lowest: float) -> bool:
        """Whether no driven code is negative, where `lowest` is the operand's smallest value."""
        never = lowest >= self.centre and all(code >= 0 for row in self.codes for code in row)
        return self.differential or never

    def as_differential(self) -> Mapping:
        """The mapping on a DAC without negative codes: twice the passes, the second half with -c_p."""
        turned = tuple(-c for c in self.coefficients)
        return replace(self, coefficients=self.coefficients + turned, differential=True)


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
            f"no balanced mapping found that reaches {exponents} exponents with input codes -{levels}..{levels} in "
            f"{passes} passes: raise mapping.passes or array.input_bits, or use mapping.gradient = 'bit_serial'"
        )
    return Mapping(tuple(float(c) for c in coefficients), balanced_codes(coefficients, levels, exponents))


@functools.cache
def gradient_mapping(spec: MappingSpec, array: ArraySpec) -> Mapping:
    """The mapping that a configuration asks for. Raises UserError where no balanced one has so few passes."""
    match spec.gradient:
        case "bit_serial":
            mapping = bit_serial(array.levels)
        case "grouped":
            mapping = grouped(array.levels)
        case "balanced":
            mapping = balanced(array.levels, passes=spec.passes)
    return mapping.as_differential() if array.drive == "unsigned" else mapping
