"""A chip that is only its calibration: draws conversions as the real one would give them.

    code = clip(round((gain * (u + inl(v) + own(v)) + offset + sigma_array * eps1) / R + sigma_adc * eps2))
    u    = v * codes_per_v

in LSB at R = 1; where the calibration has code widths, they are those of the converter. Of the noise before the range
a part may be slow and a part common: where the order of conversions has passes, a column keeps the one through the
repeats of an input, and all columns of a pass share the other; in random order every conversion is an MVM of its own.
Dies, columns and conditions by the formulas of `variation`, as in the simulator. For tests, demonstrations, and to see
how many measurements a calibration needs. What it draws is marked, and can never be calibrated to something `measured`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imctrain.calibration.arrays import Floats, Ints
from imctrain.calibration.dead_columns import dead_columns_of, drawn_dead
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.calibration.schema import Calibration
from imctrain.calibration.schema.noise import drawn_anew
from imctrain.calibration.variation import change, curves_at, die_figures, drawn_columns, drawn_curves, drawn_noise
from imctrain.calibration.virtual_chip.faults import ConverterFaults
from imctrain.calibration.virtual_chip.plan import SamplePlan
from imctrain.calibration.virtual_chip.shared_noise import shared_noise
from imctrain.errors import UserError

if TYPE_CHECKING:
    import polars as pl

CHUNK_ROWS = 500_000


@dataclass(frozen=True)
class VirtualChip:
    """A chip, or several dies of it.

    Attributes:
        seed: of the columns that the calibration does not list, and of the noise.
        faults: of the converter, on top.
    """

    calibration: Calibration
    seed: int = 0
    faults: ConverterFaults | None = None

    @property
    def setup(self) -> MeasurementSetup:
        """How it is measured."""
        c = self.calibration
        return MeasurementSetup(
            bits=c.adc.bits,
            polarity=c.adc.polarity,
            rows=c.array.rows,
            levels=2 ** (c.array.input_bits - 1),
            columns=c.array.columns,
            cell=c.array.cell,
        )

    def columns_of(self, die: int) -> tuple[Floats, Floats, Floats]:
        """gain, offset (LSB at R = 1) and noise relative to the chip's, of each column, [array.columns].

        The first die is the calibrated one; further dies are those that `[imc.chip] die` has under their number.
        """
        c = self.calibration
        figures = die_figures(c, die if die > 0 else None)
        gain, offset = drawn_columns(figures.population, self.seed, 0, c.array.columns)
        noise = drawn_noise(figures.population, self.seed, 0, c.array.columns)
        dead, constant = drawn_dead(dead_columns_of(c), figures.population.draw, self.seed, 0, c.array.columns)
        gain[dead], offset[dead] = 0.0, constant[dead]
        for k, *own in figures.columns:
            gain[k], offset[k], noise[k] = own
        return gain, offset, figures.noise * noise

    def curves_of(self, die: int) -> Floats:
        """What the INL of each column deviates from that of all (`variation.drawn_curves`), [array.columns, 3]."""
        figures = die_figures(self.calibration, die if die > 0 else None)
        return drawn_curves(figures.population, self.seed, 0, self.calibration.array.columns)

    def check(self, plan: SamplePlan) -> None:
        """Raises UserError for what the calibration cannot tell."""
        c = self.calibration
        if plan.columns is not None and plan.columns > c.array.columns:
            raise UserError(f"--columns {plan.columns} is not possible: the array of {c.name} has {c.array.columns}")
        asked = ((plan.temperatures, c.temperature, "--temperature"), (plan.supplies, c.supply, "--supply"))
        for given, known, option in asked:
            if given and known is None:
                raise UserError(f"{option}: {c.name} does not say what depends on it: leave {option} out")

    def frames(self, plan: SamplePlan) -> Iterator[pl.DataFrame]:
        """Conversions, some hundred thousand rows at a time."""
        dies = [self.columns_of(die) for die in range(plan.dies)]
        patterns = tuple(np.stack(values) for values in zip(*dies, strict=True))
        curves = np.stack([self.curves_of(die) for die in range(plan.dies)])
        for number, start in enumerate(range(0, plan.conversions, CHUNK_ROWS)):
            rows = min(CHUNK_ROWS, plan.conversions - start)
            yield self._chunk(np.random.default_rng([self.seed, 1 << 20, number]), start, rows, plan, patterns, curves)

    def _chunk(
        self,
        rng: np.random.Generator,
        start: int,
        rows: int,
        plan: SamplePlan,
        patterns: tuple[Floats, ...],
        curves: Floats,
    ) -> pl.DataFrame:
        import polars as pl

        c, setup = self.calibration, self.setup
        full_scale = c.array.rows * 2 ** (c.array.input_bits - 1)
        die = rng.integers(0, plan.dies, rows)
        column = rng.integers(0, plan.columns or c.array.columns, rows)
        reference = np.asarray(plan.ranges)[rng.integers(0, len(plan.ranges), rows)]
        # Inputs fill the range: beyond it codes only clip.
        if plan.levels is None:
            share = rng.uniform(setup.lowest_v, 1.0, rows)
        else:
            share = np.linspace(setup.lowest_v, 1.0, plan.levels)[rng.integers(0, plan.levels, rows)]
        if plan.order != "random":
            column, placed, repeat = plan.in_order(start, rows, plan.columns or c.array.columns, setup.lowest_v)
            share = np.asarray(placed, np.float64)
        dot = np.round(share * reference * full_scale).astype(np.int64)
        v = dot / full_scale
        data: dict[str, np.ndarray | pl.Series] = {}
        if plan.dies > 1:
            data["die"] = pl.Series([f"d{number}" for number in range(plan.dies)])[die]
        data["column"] = column.astype(np.int32)
        data[plan.entrance] = dot if plan.entrance == "dot" else np.round(v, 7)

        gain, offset, noise = (values[die, column] for values in patterns)
        for name, given, known in (
            ("temperature_c", plan.temperatures, c.temperature),
            ("vdd_v", plan.supplies, c.supply),
        ):
            if given and known is not None:
                at = np.asarray(given)[rng.integers(0, len(given), rows)]
                by = change(known, at)
                # A dead column has no slopes.
                offset = offset + by.offset_lsb * (gain != 0)
                gain, noise = gain * by.gain, noise * by.noise
                data[name] = at
        if self.faults is not None:
            units = plan.dies * (plan.columns or c.array.columns)
            place = (start + np.arange(rows)) / max(plan.conversions - 1, 1)
            unit = die * (units // plan.dies) + column
            factor, shift = self.faults.shifts(self.seed, start, place, unit, units, v)
            gain, offset = gain * factor, offset + shift
        offset = offset + noise * shared_noise(c, self.seed, rng, plan, start, column)
        own = curves_at(curves[die, column], v, setup.lowest_v) if curves.any() else 0.0
        data["code"] = self._codes(rng, v, reference, gain, offset, noise, own).astype(np.int32)
        data["range"] = reference
        if plan.order == "passes":
            data["repeat"] = repeat.astype(np.int32)
        data["simulated"] = np.ones(rows, np.int8)
        return pl.DataFrame(data)

    def _codes(
        self,
        rng: np.random.Generator,
        v: Floats,
        reference: Floats,
        gain: Floats,
        offset: Floats,
        noise: Floats,
        own: Floats | float,
    ) -> Ints:
        c, setup = self.calibration, self.setup
        array, adc = drawn_anew(*c.noise.before_and_after, *c.noise.shared)
        inl = np.interp(v, c.inl.v, c.inl.lsb) if c.inl.v else 0.0
        voltage = gain * (v * setup.codes_per_v + inl + own) + offset + noise * array * rng.standard_normal(v.size)
        before = voltage / reference + noise * adc * rng.standard_normal(v.size)
        return (self.faults or ConverterFaults()).convert(before, setup, c.dnl)
