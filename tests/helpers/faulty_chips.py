"""Conversions of converters with faults, drawn from the definitions and nothing of the package."""

from __future__ import annotations

import numpy as np
import polars as pl

from imctrain.calibration.reading.setup import MeasurementSetup


def setup(bits: int = 8, unipolar: bool = False, **changes) -> MeasurementSetup:
    return MeasurementSetup(bits, "unipolar" if unipolar else "bipolar", rows=64, levels=16, **changes)


def inputs(rng, rows, order, columns, sweeps=8, repeats=1):
    """(column, v) of rows: at random, up and down, upwards once, or one input on all columns `repeats` times."""
    row = np.arange(rows)
    if order == "random":
        return rng.integers(0, columns, rows), rng.uniform(-1, 1, rows)
    if order == "passes":
        drawn = rng.uniform(-1, 1, rows)
        return row % columns, drawn[row // columns // repeats]
    phase = row / rows * (1 if order == "once" else 2 * sweeps)
    return row % columns, np.where(phase % 2 < 1, 2 * (phase % 1) - 1, 1 - 2 * (phase % 1))


def faulty(
    rows=8000,
    columns=8,
    bits=8,
    sigma=0.5,
    order="random",
    widths=None,
    weights=None,
    stuck=None,
    swapped=None,
    inverted=None,
    only=None,
    floor=False,
    hysteresis=0.0,
    ramp=0.0,
    gain_ramp=0.0,
    slow=None,
    hold=1,
    common=0.0,
    repeats=1,
    sweeps=8,
    spread=0.05,
    ranges=(1.0,),
    seed=0,
):
    """A table of conversions.

    Args:
        widths: of every code, from the lowest. weights: {bit: error in LSB} of a converter that sums weights.
        stuck: (bit, value); in column `only` alone, where given.
        slow: noise of each column, held for `hold` of its conversions. common: of all columns in a pass.
    """
    rng = np.random.default_rng([seed, 41])
    column, v = inputs(rng, rows, order, columns, sweeps, repeats)
    reference = rng.choice(ranges, rows)
    v = np.round(v * reference, 6)
    low, count = -(2 ** (bits - 1)), 2**bits
    t = np.arange(rows) / rows - 0.5
    volts = v * 2 ** (bits - 1) * (1 + 0.003 * rng.standard_normal(columns))[column] * (1 + gain_ramp * t)
    volts = volts + (spread * rng.standard_normal(columns))[column] + ramp * t
    if hysteresis:
        last = {}
        sign = np.zeros(rows)
        for row in range(rows):
            before, kept = last.get(column[row], (v[row], 0.0))
            kept = np.sign(v[row] - before) or kept
            last[column[row]] = v[row], kept
            sign[row] = kept
        volts = volts + 0.5 * hysteresis * sign
    made = np.arange(rows) // columns
    if slow:
        volts = volts + slow * rng.standard_normal((rows // columns // hold + 1, columns))[made // hold, column]
    if common:
        volts = volts + common * rng.standard_normal(rows // columns + 1)[made]
    code = volts / reference + sigma * rng.standard_normal(rows)
    if widths is not None or weights is not None:
        places = np.arange(1, count)
        if weights is not None:
            edges = places + low - 0.5 + sum(e * (places >> bit & 1) for bit, e in weights.items())
            edges = np.maximum.accumulate(edges)
        else:
            edges = low + 0.5 + np.cumsum(widths)[: count - 2 + 1] - widths[0]
        code = np.searchsorted(edges, code) + low
    else:
        code = np.floor(code) if floor else np.round(code)
    pattern = (np.clip(code, low, -low - 1) - low).astype(int)
    here = np.ones(rows, bool) if only is None else column == only
    if stuck is not None:
        bit, value = stuck
        pattern = np.where(here, pattern | 1 << bit if value else pattern & ~(1 << bit), pattern)
    if swapped is not None:
        a, b = swapped
        rest = pattern & ~(1 << a | 1 << b)
        pattern = rest | (pattern >> a & 1) << b | (pattern >> b & 1) << a
    if inverted is not None:
        pattern = pattern ^ 1 << inverted
    table = {"column": column, "ideal": v, "code": pattern + low}
    if repeats > 1:
        table["repeat"] = made % repeats
    return pl.DataFrame(table | ({"range": reference} if len(ranges) > 1 else {}))
