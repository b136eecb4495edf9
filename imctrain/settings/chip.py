"""What a calibration says of a chip: noise, columns and their spread, INL. No settings: measured or assumed figures."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from imctrain import limits
from imctrain.settings.base import NotPossible, Section, within


class ColumnError(NamedTuple):
    """One measured column: gain (1 = nominal), offset in LSB at R = 1, and its noise relative to the chip's."""

    column: int
    gain: float = 1.0
    offset_lsb: float = 0.0
    noise: float = 1.0


class ChipSpec(Section):
    """Figures of a chip. One LSB is the calibrated converter's step at R = 1, of which noise is quoted before
    rounding."""

    PREFIX: ClassVar[str] = "chip."

    sigma_array_lsb: float = 0.0
    """Noise voltage that is there before the converter's range. It is a voltage: it does not shrink with R."""
    sigma_adc_lsb: float = 0.0
    """Noise of the converter itself, in its own LSB: it shrinks with R."""
    sigma_slow_lsb: float = 0.0
    """Part of the noise that a column keeps through an MVM, all of its passes and repeats: a voltage, before the
    range."""
    sigma_common_lsb: float = 0.0
    """Part of the noise that all columns of a pass share: a voltage, before the range."""
    reference_bits: Annotated[int, Field(ge=2, le=24)] = 8
    """Bits of the converter that the figures were calibrated on."""
    reference_polarity: Literal["bipolar", "unipolar"] = "bipolar"
    """Polarity of that converter."""
    columns: tuple[ColumnError, ...] = ()
    """Measured columns; those that were not measured are drawn."""
    gain_mean: Annotated[float, within(limits.MEAN_GAIN)] = 1.0
    """Mean gain of the columns that are drawn."""
    gain_std: Annotated[float, within(limits.GAIN_STD)] = 0.0
    """Standard deviation of their gain."""
    offset_mean_lsb: float = 0.0
    """Mean offset of the columns that are drawn."""
    offset_std_lsb: float = 0.0
    """Standard deviation of their offset."""
    noise_median: Annotated[float, within(limits.COLUMN_NOISE)] = 1.0
    """Median noise of the columns that are drawn, relative to the chip's."""
    noise_std: Annotated[float, within(limits.COLUMN_NOISE_STD)] = 0.0
    """Standard deviation of the logarithm of their noise."""
    dead_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the columns that are dead: their gain is 0, and they read a constant."""
    dead_offsets_lsb: tuple[float, ...] = ()
    """Constants that dead columns are drawn from."""
    dead_columns: tuple[int, ...] = ()
    """Which of the measured columns are dead."""
    column_draw: Annotated[int, Field(ge=0, le=2**33)] = 0
    """Tells the columns that are drawn for different dies of one `chip_seed` apart; 0 for the calibrated die."""
    varies: bool = False
    """Columns are told apart even where all are nominal, as they are not at other conditions."""
    noise_varies: bool = False
    """The same of their noise, which other dies of the calibration have."""
    inl_v: tuple[float, ...] = ()
    """Integral non-linearity: knots in v, a fraction of full scale, in rising order; empty for none."""
    inl_lsb: tuple[float, ...] = ()
    """Its values at the knots; linear between them and constant outside."""
    inl_column_rms_lsb: float = 0.0
    """Rms of what single columns deviate from it, each by a smooth curve of its own without gain and offset."""

    dnl_first_code: int = 0
    """Differential non-linearity: the first code of the calibrated converter whose width is known."""
    dnl_thresholds: tuple[float, ...] = ()
    """Lower edge of every such code and the upper one of the last, in codes; nominal is code - 1/2, and a missing code
    has two equal edges. Empty for codes of equal width."""

    @model_validator(mode="after")
    def _figures_are_physical(self) -> ChipSpec:
        bits = self.reference_bits
        for name in ("sigma_array_lsb", "sigma_adc_lsb", "sigma_slow_lsb", "sigma_common_lsb"):
            _hold(limits.noise_lsb(bits), name, getattr(self, name))
        noise = math.hypot(self.sigma_array_lsb, self.sigma_adc_lsb)
        if not limits.is_part_of_noise(math.hypot(self.sigma_slow_lsb, self.sigma_common_lsb), noise):
            key = "sigma_slow_lsb" if self.sigma_slow_lsb >= self.sigma_common_lsb else "sigma_common_lsb"
            within_all = (
                f"slow and common noise within the noise of {noise:g} LSB (the root of the sum of their squares)"
            )
            raise NotPossible(key, getattr(self, key), within_all)
        _hold(limits.offset_lsb(bits), "offset_mean_lsb", self.offset_mean_lsb)
        _hold(limits.offset_std_lsb(bits), "offset_std_lsb", self.offset_std_lsb)
        for error in self.columns:
            _hold(limits.COLUMN, "columns: column", error.column)
            _hold(limits.GAIN, f"columns: gain of column {error.column}", error.gain)
            _hold(limits.offset_lsb(bits), f"columns: offset_lsb of column {error.column}", error.offset_lsb)
            _hold(limits.COLUMN_NOISE, f"columns: noise of column {error.column}", error.noise)
        for value in self.dead_offsets_lsb:
            _hold(limits.offset_lsb(bits), "dead_offsets_lsb", value)
        if self.dead_share and not self.dead_offsets_lsb:
            raise NotPossible("dead_offsets_lsb", self.dead_offsets_lsb, "at least one constant where columns are dead")
        if self.dnl_thresholds and bits > limits.MOST_DNL_BITS:
            raise NotPossible(
                "reference_bits", bits, f"at most {limits.MOST_DNL_BITS} with code widths (dnl_thresholds)"
            )
        if len(self.inl_v) != len(self.inl_lsb):
            raise NotPossible("inl_lsb", self.inl_lsb, "as many values as inl_v")
        for v, value in zip(self.inl_v, self.inl_lsb, strict=True):
            _hold(limits.inl_v(self.reference_polarity), "inl_v", v)
            _hold(limits.inl_lsb(bits), "inl_lsb", value)
        _hold(limits.inl_rms_lsb(bits), "inl_column_rms_lsb", self.inl_column_rms_lsb)
        if not all(a < b for a, b in zip(self.inl_v, self.inl_v[1:], strict=False)):
            raise NotPossible("inl_v", self.inl_v, "knots in rising order")
        return self

    @property
    def reference_lsb(self) -> float:
        """One calibrated LSB at R = 1 as a fraction of full scale."""
        return (2.0 if self.reference_polarity == "bipolar" else 1.0) / 2.0**self.reference_bits

    @property
    def has_mismatch(self) -> bool:
        """Whether the gain or the offset of any column is not nominal, or may not be."""
        measured = any(c.gain != 1.0 or c.offset_lsb != 0.0 for c in self.columns)
        return (
            self.varies
            or measured
            or self.dead_share > 0
            or (self.gain_mean, self.offset_mean_lsb, self.gain_std, self.offset_std_lsb) != (1, 0, 0, 0)
        )

    @property
    def has_column_noise(self) -> bool:
        """Whether the noise of any column is not the chip's, or may not be."""
        drawn = (self.noise_median, self.noise_std) != (1, 0)
        return self.noise_varies or drawn or any(c.noise != 1.0 for c in self.columns)

    @property
    def has_inl(self) -> bool:
        return any(value != 0.0 for value in self.inl_lsb)

    @property
    def has_dnl(self) -> bool:
        return bool(self.dnl_thresholds)

    @property
    def lowest_v(self) -> float:
        """Lowest input of the calibrated converter; the highest is 1."""
        return -1.0 if self.reference_polarity == "bipolar" else 0.0


def _hold(bounds: limits.Bounds, key: str, found: float) -> None:
    if not bounds.hold(found):
        raise NotPossible(key, found, str(bounds))
