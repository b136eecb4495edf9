"""Bit planes of a stored operand: W = centre + sum_j beta_j W_j.

AND cells hold W_j in {0, 1}: by default two's complement for signed codes, plain binary otherwise.

    int4   -7..7    4 planes, beta = (1, 2, 4, -8)
    uint4   0..15   4 planes, beta = (1, 2, 4, 8)

XNOR cells hold W_j in {-1, 1}: twice the signal, so that a plane carries half the weight. Noise of a conversion reaches
the output multiplied by sqrt(sum beta_j^2), whatever the bits are. As for passes (`balanced`), weights that are less
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
from collections.abc import Iterator
from dataclasses import dataclass

import jax.numpy as jnp
from jax import Array

from imctrain.settings import FEWEST_PLANES, Cell


@functools.cache
def parts(total: int, count: int) -> tuple[int, ...]:
    """`total` cut into `count` positive integers, largest first, whose partial sums are all of 0..total, with the least
    sum of squares. Needs 2**count > total and count <= total."""
    found = min(_complete((), total, count), key=lambda a: sum(x * x for x in a))
    return found[::-1]


def _complete(chosen: tuple[int, ...], left: int, count: int) -> Iterator[tuple[int, ...]]:
    """Rising sequences whose next part is at most one more than all before it: then no partial sum is missed."""
    if count == 0:
        if left == 0:
            yield chosen
        return
    for part in range(chosen[-1] if chosen else 1, min(sum(chosen) + 1, left) + 1):
        yield from _complete((*chosen, part), left - part, count - 1)


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
        cell: "and" or "xnor". signed: int4 (True) or uint4.
        planes: J of balanced planes; None for two's complement or binary in AND cells, and 4 in XNOR cells.
    """

    cell: Cell
    signed: bool
    planes: int | None = None

    @property
    def _balanced(self) -> tuple[int, int] | None:
        """(what is cut into parts, J); None for two's complement and binary."""
        if self.cell == "and" and self.planes is None:
            return None
        return (14 if self.signed else 15), self.planes or FEWEST_PLANES

    @property
    def weights(self) -> tuple[float, ...]:
        """beta_j, the digital weight of each plane."""
        if self._balanced is None:
            return (1.0, 2.0, 4.0, -8.0 if self.signed else 8.0)
        return tuple(part / 2 if self.cell == "xnor" else float(part) for part in parts(*self._balanced))

    @property
    def centre(self) -> float:
        """The value whose planes add up to 0 (see `centring`)."""
        if self._balanced is None:
            return 0.0
        if self.cell == "and":
            return -7.0 if self.signed else 0.0
        return 0.0 if self.signed else 7.5

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
            integers = codes.astype(jnp.int8)
            return [(integers >> j) & 1 for j in range(4)]
        place = codes.astype(jnp.int32) + (7 if self.signed else 0)
        bits = [((mask >> place) & 1).astype(jnp.int8) for mask in map(jnp.int32, _masks(*self._balanced))]
        return bits if self.cell == "and" else [2 * bit - 1 for bit in bits]
