"""Mapping of an input operand to passes of the multi-level DAC: X = sum_p c_p X_p with X_p in -L..L.

Additive noise of a conversion reaches the output multiplied by sqrt(sum c_p^2), whatever the codes are. An integer
operand (int4, uint4) goes in one pass where the DAC holds its codes, else in several: see `integer_passes`. A radix-4
magnitude 4**k becomes the codes of row k of a table, at L = 16:

    bit_serial   one exponent a pass, each driven at full swing            sqrt(sum c^2) = 264.4, 7 passes
    grouped      as many exponents a pass as the DAC's levels hold         263.9, 3 passes
    balanced     signed codes on nearly equal coefficients (`search`)    147.8, 3 passes

Each is a file of `gradient_mappings`. bit_serial is the scheme of the predecessor (Grimm and Verma 2022): a 1-bit input
that is on drives the full swing, so its code is L and its coefficient 4**k / L. The other two are this project's
(grouped follows the paper's abstract, "gradients mapped to multi-level analog inputs").

A DAC without negative codes (`array.drive` = "unsigned") drives what can be negative differentially: every pass is done
twice, for the positive codes with +c_p and for the negative ones, turned, with -c_p. That costs twice the passes and
sqrt(2) in noise; a column's offset cancels. This project's decision.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.families import member
from imctrain.formats import RADIX4
from imctrain.settings import ArraySpec, MappingSpec

MOST_SELECTS = 16
"""Rows of codes up to which one select each is cheaper than a table look-up."""


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
    magnitudes: tuple[int, ...] = RADIX4.magnitudes
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
        if len(self.codes) > MOST_SELECTS:
            return self._looked_up(values, magnitude)
        passes = []
        for p in range(len(self.codes[0])):
            code = jnp.zeros_like(magnitude)
            for size, row in zip(self.magnitudes, self.codes, strict=False):
                if row[p]:
                    code = jnp.where(magnitude == float(size), float(row[p]), code)
            passes.append(jnp.where(values < 0, -code, code))
        return jnp.stack(passes)

    def _looked_up(self, values: Array, magnitude: Array) -> Array:
        """The same for a long table, whose magnitudes are 1, 2, 3 and so on."""
        table = np.zeros((len(self.codes[0]), self.magnitudes[-1] + 1), np.float32)
        table[:, list(self.magnitudes)] = np.transpose(self.codes)
        codes = jnp.asarray(table)[:, magnitude.astype(jnp.int32)]
        return jnp.where(values < 0, -codes, codes)

    def non_negative(self, lowest: float) -> bool:
        """Whether no driven code is negative, where `lowest` is the operand's smallest value."""
        never = lowest >= self.centre and all(code >= 0 for row in self.codes for code in row)
        return self.differential or never

    def as_differential(self) -> Mapping:
        """The mapping on a DAC without negative codes: twice the passes, the second half with -c_p."""
        turned = tuple(-c for c in self.coefficients)
        return replace(self, coefficients=self.coefficients + turned, differential=True)


class GradientMapping(Protocol):
    """A member of `gradient_mappings`."""

    def __call__(self, levels: int, passes: int) -> Mapping:
        """The mapping on codes -L..L, or 0..L. `passes`: of `mapping.passes`, where there is a choice."""
        ...


@functools.cache
def gradient_mapping(spec: MappingSpec, array: ArraySpec) -> Mapping:
    """The mapping that a configuration asks for. Raises UserError where no balanced one has so few passes."""
    make: GradientMapping = member("imctrain.imc.coding.gradient_mappings", spec.gradient)
    mapping = make(array.levels, spec.passes)
    return mapping.as_differential() if array.drive == "unsigned" else mapping
