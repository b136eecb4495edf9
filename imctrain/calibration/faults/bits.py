"""Bits of the code that are stuck, swapped or inverted.

Bit 0 is the least significant one of the offset-binary code, the code less the lowest one; two's complement differs in
its highest bit alone. Nothing here needs a fit: the nominal transfer says closely enough how often a bit should be 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from imctrain.calibration.arrays import Flags, Floats, Ints
from imctrain.calibration.reading.histogram import Histogram
from imctrain.calibration.reading.setup import MeasurementSetup

MOST_CONTRARY, LEAST_EXPECTED = 0.01, 0.2
"""A stuck bit takes the other value in at most this share of rows, where at least that share should have either."""
FEWEST_INPUTS = 16
"""Different inputs that should give the other value."""
FEWEST_ROWS = 100
MOST_CELLS = 200_000
SURE = 6.0
"""Standard errors by which exchanged bits must describe the codes better. Of a sound converter they do so far worse."""
BETTER = 0.9


class StuckBit(NamedTuple):
    """`bit` has `value` in all but `contrary` of `rows`; `expected` should have the other. column: None for all."""

    bit: int
    value: int
    contrary: int
    expected: int
    rows: int
    column: int | None = None
    die: str = ""


@dataclass(frozen=True)
class BitFaults:
    """Of all columns: stuck, swapped and inverted bits; of single columns: stuck ones."""

    stuck: tuple[StuckBit, ...] = ()
    swapped: tuple[int, int] | None = None
    inverted: int | None = None
    stuck_in_columns: tuple[StuckBit, ...] = ()

    @property
    def of_all(self) -> bool:
        """Whether the codes of all columns are spoilt."""
        return bool(self.stuck) or self.swapped is not None or self.inverted is not None


def bit_faults(histogram: Histogram, setup: MeasurementSetup) -> BitFaults:
    """Of all columns, and where those are sound, of single columns."""
    setting = histogram.setting[histogram.bin_of_cell]
    u = histogram.u[histogram.bin_of_cell]
    every = np.ones(u.size, bool)
    stuck = tuple(_stuck(histogram.code, u, histogram.count, every, setup))
    if stuck:
        return BitFaults(stuck=stuck)
    swapped, inverted = _exchanged(histogram, u, setup)
    if swapped is not None or inverted is not None:
        return BitFaults(swapped=swapped, inverted=inverted)
    _, first, unit = np.unique(
        np.stack([np.unique(histogram.die, return_inverse=True)[1], histogram.column]),
        axis=1,
        return_index=True,
        return_inverse=True,
    )
    return BitFaults(stuck_in_columns=tuple(_in_columns(histogram, u, unit.ravel()[setting], first, setup)))


def _bits_seen(codes: Ints, setup: MeasurementSetup) -> Ints:
    """[bits, n] of 0 and 1."""
    return ((codes - setup.lowest)[None, :] >> np.arange(setup.bits)[:, None]) & 1


def _nominal(u: Floats, setup: MeasurementSetup) -> Ints:
    return np.clip(np.round(u), setup.lowest, setup.highest).astype(np.int64)


def _stuck(code: Ints, u: Floats, count: Floats, members: Flags, setup: MeasurementSetup) -> Iterator[StuckBit]:
    code, count, nominal = code[members], count[members], _nominal(u[members], setup)
    rows = float(count.sum())
    if rows < FEWEST_ROWS or np.unique(code).size < 4:
        return
    for bit in range(setup.bits):
        ones = float(count @ ((code - setup.lowest) >> bit & 1))
        value = int(ones > 0.5 * rows)
        contrary = rows - ones if value else ones
        other = ((nominal - setup.lowest) >> bit & 1) != value
        expected = float(count @ other)
        if contrary > MOST_CONTRARY * rows or not LEAST_EXPECTED < expected / rows < 1 - LEAST_EXPECTED:
            continue
        if np.unique(nominal[other]).size >= min(FEWEST_INPUTS, 2 ** (setup.bits - 2)):
            yield StuckBit(bit, value, round(contrary), round(expected), round(rows))


def _in_columns(h: Histogram, u: Floats, unit: Ints, first: Ints, setup: MeasurementSetup) -> Iterator[StuckBit]:
    """Columns whose bit is constant; a quick look at all of them tells which deserve a close one."""
    units = first.size
    rows = np.bincount(unit, h.count, units)
    suspects = np.zeros(units, bool)
    for bit in range(setup.bits):
        ones = np.bincount(unit, h.count * ((h.code - setup.lowest) >> bit & 1), units)
        suspects |= np.minimum(ones, rows - ones) <= MOST_CONTRARY * rows
    for number in np.flatnonzero(suspects & (rows >= FEWEST_ROWS)):
        for found in _stuck(h.code, u, h.count, unit == number, setup):
            yield found._replace(column=int(h.column[first[number]]), die=str(h.die[first[number]]))


def _exchanged(h: Histogram, u: Floats, setup: MeasurementSetup) -> tuple[tuple[int, int] | None, int | None]:
    """The pair of bits, or the bit, whose exchange brings the codes clearly closer to a line."""
    stride = max(1, h.code.size // MOST_CELLS)
    code, u, count = h.code[::stride], u[::stride], h.count[::stride]
    inside = np.abs(u - 0.5 * (setup.lowest + setup.highest)) < 0.5 * 2**setup.bits
    code, u, count = code[inside], u[inside], count[inside]
    if count.sum() < FEWEST_ROWS or np.ptp(u) == 0:
        return None, None
    pattern = code - setup.lowest
    as_read = _about_line(code.astype(np.float64), u, count)
    pairs = combinations(range(setup.bits), 2)
    candidates: list[tuple[tuple[int, int] | None, int | None]] = [(pair, None) for pair in pairs]
    candidates += [(None, bit) for bit in range(setup.bits)]
    found: tuple[float, tuple[int, int] | None, int | None] = (BETTER * float(count @ as_read), None, None)
    for pair, bit in candidates:
        if pair is not None:
            a, b = pair
            differ = (pattern >> a ^ pattern >> b) & 1
            other = pattern ^ (differ << a | differ << b)
        else:
            other = pattern ^ (1 << (bit or 0))
        distance = _about_line((other + setup.lowest).astype(np.float64), u, count)
        total = float(count @ distance)
        gain = as_read - distance
        mean = float(count @ gain) / float(count.sum())
        error = np.sqrt(float(count @ (gain - mean) ** 2)) / float(count.sum())
        if total < found[0] and mean > SURE * error:
            found = (total, pair, bit)
    return found[1], found[2]


def _about_line(code: Floats, u: Floats, count: Floats) -> Floats:
    """Distance of codes from the least-squares line through them."""
    total = count.sum()
    mean_u, mean_code = count @ u / total, count @ code / total
    slope = (count * (u - mean_u)) @ (code - mean_code) / max(count @ (u - mean_u) ** 2, 1e-12)
    return np.abs(code - mean_code - slope * (u - mean_u))
