"""Row tiles: how a contraction of K elements is cut to fit N rows, and how many rows its full scale counts."""

from __future__ import annotations

from dataclasses import dataclass

from imctrain.settings import ArraySpec


@dataclass(frozen=True)
class RowTiles:
    """An even cut: T tiles of `size` units each (the last may be shorter), a unit being `unit` rows.

    A unit is what must stay together: one row of a matrix, all kernel positions of one input channel of a
    convolution. Tiles are cut evenly (1200 rows make 600 + 600, not 1152 + 48), which keeps every tile's share of the
    full scale alike; that is this project's decision.
    """

    units: int
    unit: int
    size: int

    @property
    def count(self) -> int:
        """T."""
        return -(-self.units // self.size)

    @property
    def padded(self) -> int:
        """Units after padding every tile to `size`."""
        return self.count * self.size

    @property
    def rows_used(self) -> tuple[int, ...]:
        """K_t: rows of each tile that carry an element."""
        last = self.units - self.size * (self.count - 1)
        return tuple(self.unit * n for n in (*[self.size] * (self.count - 1), last))


def cut(units: int, array: ArraySpec, unit: int = 1) -> RowTiles:
    """The fewest, most even tiles of at most `array.rows` rows. Needs unit <= array.rows."""
    per_tile = array.rows // unit
    if per_tile < 1:
        raise ValueError(f"a unit of {unit} rows does not fit {array.rows} rows")
    count = max(-(-units // per_tile), 1)
    return RowTiles(units, unit, max(-(-units // count), 1))


def copies(used: int, array: ArraySpec) -> int:
    """How often a tile's operand is written and driven together (`array.replicate`)."""
    return max(sharing_rows(used, array) // used, 1) if array.replicate else 1


def effective_rows(used: int, array: ArraySpec) -> float:
    """Rows that full scale counts for a tile that uses `used` rows: v = dot / (effective_rows * L).

    All N rows share charge unless they are segmented; n copies of the operand raise the signal n times, which is the
    same as counting 1/n of the rows.
    """
    return sharing_rows(used, array) / copies(used, array)


def sharing_rows(used: int, array: ArraySpec) -> int:
    """Rows that share charge on the columns of a tile that uses `used` rows: all N, or the segments in use."""
    segment = array.segment_rows
    if segment is None:
        return array.rows
    return min(-(-used // segment) * segment, array.rows)
