"""Bit planes of a stored operand: W = centre + sum_j beta_j W_j.

AND cells hold W_j in {0, 1}: by default two's complement for signed codes, plain binary otherwise, a plane for each
bit. Of 4 bits:

    int4   -7..7    4 planes, beta = (1, 2, 4, -8)
    uint4   0..15   4 planes, beta = (1, 2, 4, 8)

XNOR cells hold W_j in {-1, 1}: twice the signal, so that a plane carries half the weight. Noise of a conversion reaches
the output multiplied by sqrt(sum beta_j^2), whatever the bits are. As for passes (`search`), weights that are less
unequal do with less: 14 (the distance from -7 to 7) or 15 cut into J parts whose partial sums reach every code
(`parts`). XNOR cells use them always, AND cells where `mapping.planes` asks for them.

    cells  codes   J   beta                      sum beta^2   centre
    and    int4    4   1, 2, 4, -8                    85        0      two's complement
    and    int4    4   7, 4, 2, 1                     70       -7
    and    int4    5   4, 4, 3, 2, 1                  46       -7
    xnor   int4    4   3.5, 2, 1, 0.5                 17.5      0
    xnor   int4    5   2, 2, 1.5, 1, 0.5              11.5      0
    xnor   uint4   4   4, 2, 1, 0.5                   21.25     7.5
    xnor   uint4   5   2, 2, 2, 1, 0.5                13.25     7.5

What the centre leaves out of the product is added digitally (`centring`). All but two's complement is this project's
decision.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from imctrain.formats import IntegerFormat
from imctrain.settings import Cell

MASK_BITS = 31
"""Codes that a mask of 32 bits holds; of more, a table is looked up."""


@functools.cache
def parts(total: int, count: int) -> tuple[int, ...]:
    """`total` cut into `count` positive integers, largest first, whose partial sums are all of 0..total, with the least
    sum of squares. Needs 2**count > total and count <= total."""
    return _least_squares(1, 0, total, count)[1][::-1]


@functools.cache
def _least_squares(smallest: int, chosen: int, left: int, count: int) -> tuple[float, tuple[int, ...]]:
    """(sum of squares, parts) of the best rising sequence of `count` parts that add up to `left`; infinite for none.

    Each part is at least `smallest` and at most one more than all before it (`chosen`): then no partial sum is missed.
    """
    if count == 0:
        return (0.0, ()) if left == 0 else (math.inf, ())
    best: tuple[float, tuple[int, ...]] = (math.inf, ())
    # The parts left rise, so that this one is at most their mean; and they at most double what is reached.
    if (chosen + 1) * 2**count - 1 < chosen + left:
        return best
    for part in range(smallest, min(chosen + 1, left // count) + 1):
        squares, parts = _least_squares(part, chosen + part, left - part, count - 1)
        if part * part + squares < best[0]:
            best = part * part + squares, (part, *parts)
    return best


@functools.cache
def _masks(total: int, count: int) -> tuple[int, ...]:
    """Bit s of mask j: whether part j is in the partial sum s (the largest parts that fit)."""
    masks = [0] * count
    for s in range(total + 1):
        left = s
        for j, part in enumerate(parts(total, count)):
            if part <= left:
                left -= part
                masks[j] |= 1 << s
    return tuple(masks)


@dataclass(frozen=True)
class PlaneCoding:
    """How codes are laid out in cells.

    Attributes:
        cell: "and" or "xnor". format: of the stored operand.
        planes: J of balanced planes; None for two's complement or binary in AND cells, and one a bit in XNOR cells.
    """

    cell: Cell
    format: IntegerFormat
    planes: int | None = None

    @property
    def _balanced(self) -> tuple[int, int] | None:
        """(what is cut into parts, J); None for two's complement and binary."""
        if self.cell == "and" and self.planes is None:
            return None
        return self.format.span, self.planes or self.format.bits

    @property
    def weights(self) -> tuple[float, ...]:
        """beta_j, the digital weight of each plane."""
        if self._balanced is None:
            top = 2.0 ** (self.format.bits - 1)
            return (*(2.0**j for j in range(self.format.bits - 1)), -top if self.format.signed else top)
        return tuple(part / 2 if self.cell == "xnor" else float(part) for part in parts(*self._balanced))

    @property
    def centre(self) -> float:
        """The value whose planes add up to 0 (see `centring`)."""
        if self._balanced is None:
            return 0.0
        return float(self.format.lowest) if self.cell == "and" else (self.format.lowest + self.format.top) / 2

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
        if self._balanced is None:
            integers = codes.astype(self.format.dtype)
            return [((integers >> j) & 1).astype(jnp.int8) for j in range(self.format.bits)]
        place = codes.astype(jnp.int32) - self.format.lowest
        masks = _masks(*self._balanced)
        if self.format.span < MASK_BITS:
            bits = [((mask >> place) & 1).astype(jnp.int8) for mask in map(jnp.int32, masks)]
        else:
            rows = [[mask >> s & 1 for s in range(self.format.span + 1)] for mask in masks]
            bits = [jnp.asarray(row, jnp.int8)[place] for row in rows]
        return bits if self.cell == "and" else [2 * bit - 1 for bit in bits]
