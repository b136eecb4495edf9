"""The calibration file: what is known of a chip's noise and mismatch, as JSON. See calibration/README.md.

Units: one LSB is a step of the calibrated converter at reference range R = 1. gain is relative to the nominal transfer
code = v * 2**(B-1) / R (bipolar) or v * 2**B / R (unipolar). Fields whose default is None are left out of the file
when the measurements do not support them, except those of the base layout, which are then null.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from imctrain.calibration.schema.base import Model
from imctrain.calibration.schema.dnl import Dnl
from imctrain.calibration.schema.fixed_pattern import Column, Inl, Spread
from imctrain.calibration.schema.measured import Adc, Array, Source
from imctrain.calibration.schema.noise import Noise, RangeNoise
from imctrain.calibration.schema.quality import Fit
from imctrain.calibration.schema.variation import Dependence, Die, DieSpread

Provenance = Literal["measured", "published", "assumed"]


class Calibration(Model):
    """A calibration file.

    Attributes:
        provenance: of the noise and of all else that `provenance_of` does not name.
        provenance_of: of sections ("array") and single figures ("adc.bits") that come from elsewhere.
    """

    base_nulls = frozenset({"source"})

    schema_version: str = "1.0"
    name: str
    provenance: Provenance
    notes: str = ""
    source: Source | None = None
    array: Array = Array()
    adc: Adc = Adc()
    noise: Noise
    columns: tuple[Column, ...] = ()
    spread: Spread = Spread()
    inl: Inl = Inl()
    dnl: Dnl | None = None
    fit: Fit = Fit()
    ranges: tuple[RangeNoise, ...] | None = None
    temperature: Dependence | None = None
    supply: Dependence | None = None
    dies: tuple[Die, ...] | None = None
    die_spread: DieSpread | None = None
    provenance_of: dict[str, Provenance] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Calibration:
        if self.provenance == "measured" and self.source is None:
            raise ValueError("provenance 'measured' needs a source: the measurements it was fitted to")
        if self.provenance != "measured" and self.source is not None:
            raise ValueError(f"provenance {self.provenance!r} has a source: only 'measured' may name measurements")
        self._check_provenance_of()
        numbers = [column.column for column in self.columns]
        if len(set(numbers)) != len(numbers):
            raise ValueError("a column is listed twice")
        if numbers and max(numbers) >= self.array.columns:
            raise ValueError(f"column {max(numbers)} is beyond the array's {self.array.columns} columns")
        self._check_columns_of_fit()
        return self

    def _check_columns_of_fit(self) -> None:
        for name in ("dead_columns", "outlier_columns"):
            told = getattr(self.fit, name) or ()
            absent = [number for number in told if not 0 <= number < self.array.columns]
            if absent:
                last = self.array.columns - 1
                raise ValueError(
                    f"fit.{name} names column {absent[0]}: the array has {self.array.columns} columns, 0 to {last}"
                )

    def _check_provenance_of(self) -> None:
        for name, provenance in (self.provenance_of or {}).items():
            if name not in _FIGURES:
                known = ", ".join(sorted(_FIGURES))
                raise ValueError(f"provenance_of names {name!r}, which is no section and no figure of one: {known}")
            if provenance == "measured" and self.source is None:
                raise ValueError(f"provenance_of says that {name} is measured, and there is no source of measurements")


def _figures() -> frozenset[str]:
    """Names that `provenance_of` may have: of sections, and of the figures in those that are no lists."""
    sections: dict[str, type[Model]] = {
        "array": Array,
        "adc": Adc,
        "noise": Noise,
        "spread": Spread,
        "inl": Inl,
        "dnl": Dnl,
    }
    single = {f"{section}.{name}" for section, model in sections.items() for name in model.model_fields}
    return frozenset(single | set(sections) | {"columns", "temperature", "supply", "dies", "die_spread", "ranges"})


_FIGURES = _figures()
