"""Bit planes of a stored operand: W = sum_j beta_j W_j.

AND cells hold W_j in {0, 1}: two's complement for signed codes, plain binary otherwise.

    int4   -7..7    4 planes, beta = (1, 2, 4, -8)
    uint4   0..15   4 planes, beta = (1, 2, 4, 8)

XNOR cells hold W_j in {-1, 1}. Signs alone reach only every second integer (project's decisions):

    int4   -7..7    5 planes, beta = (4, 2, 1, 1/2, 1/2)          one more plane of weight 1/2 fills the gaps
    uint4   0..15   4 planes, beta = (4, 2, 1, 1/2), W - 7.5      stored around its middle (see `centring`)

The half planes are opposite for odd integers, both -1 for even ones from 0 up and both +1 for even ones below.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from imctrain.imc.hardware import Cell


@dataclass(frozen=True)
class PlaneCoding:
    """How codes are laid out in cells.

    Attributes:
        cell: "and" or "xnor".
        signed: int4 (True) or uint4.
    """

    cell: Cell
    signed: bool

    @property
    def weights(self) -> tuple[float, ...]:
        """beta_j, the digital weight of each plane."""
        if self.cell == "and":
            return (1.0, 2.0, 4.0, -8.0 if self.signed else 8.0)
        return (4.0, 2.0, 1.0, 0.5, 0.5) if self.signed else (4.0, 2.0, 1.0, 0.5)

    @property
    def centre(self) -> float:
        """The value that planes of beta_j W_j are relative to (see `centring`)."""
        return 7.5 if self.cell == "xnor" and not self.signed else 0.0

    @property
    def count(self) -> int:
        """J, the number of planes."""
        return len(self.weights)

    def encode(self, codes: Array, axis: int) -> Array:
        """Cells of each plane, int8, with the plane axis inserted at `axis`.

        Args:
            codes: integers (of any dtype) within the format's range.
        """
        return jnp.stack(self.cells(codes), axis=axis)

    def cells(self, codes: Array) -> list[Array]:
        """The planes one by one, int8 in the shape of the codes."""
        integers = codes.astype(jnp.int8)
        if self.cell == "and":
            return [(integers >> j) & 1 for j in range(4)]
        if not self.signed:
            return [2 * ((integers >> j) & 1) - 1 for j in (3, 2, 1, 0)]
        # codes + 8 written as 2u + r: the signs of u's bits carry an odd number, the two half planes the rest.
        low = jnp.where(integers % 2 == 0, jnp.where(integers >= 0, -1, 1), 0).astype(jnp.int8)
        unsigned = (integers - low + 7) >> 1
        planes = [2 * ((unsigned >> j) & 1) - 1 for j in (2, 1, 0)]
        halves = [jnp.where(low < 0, -1, 1), jnp.where(low > 0, 1, -1)]
        return [plane.astype(jnp.int8) for plane in planes + halves]
