"""[imc.adc]: the column converter and its reference range."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from imctrain import limits
from imctrain.settings.base import FROM_CALIBRATION, NotPossible, OrCalibrations, Section, within

Polarity = Literal["auto", "bipolar", "unipolar"]
RangePolicy = Literal["fixed", "two_level", "per_site"]
Range = Annotated[float, within(limits.RANGE)]


class AdcSpec(Section):
    """The column converter."""

    PREFIX: ClassVar[str] = "adc."

    bits: OrCalibrations[Annotated[int, Field(ge=2, le=24)]] = FROM_CALIBRATION
    """B. The calibration's by default."""
    range_policy: RangePolicy = "per_site"
    """How the reference range R is chosen: fixed (always `range`), two_level (`range` or `low_range`, by the site's
    running statistics) or per_site (the smallest power of two that holds the site's and pass's running statistics,
    down to `min_range`)."""
    range: Range = 1.0
    """R of the fixed policy and the largest R of the others, a fraction of full scale."""
    low_range: Range = 0.25
    """The lower R of two_level."""
    min_range: Range = 2.0**-6
    """The smallest R that per_site may pick."""
    headroom: Annotated[float, within(limits.HEADROOM)] = 4.0
    """R must hold |mean| + headroom * (standard deviation) of a pass's column voltages."""
    polarity: Polarity = "auto"
    """bipolar, unipolar, or auto: unipolar where codes and cells are both non-negative."""
    offset_conversions: Annotated[int, within(limits.OFFSET_CONVERSIONS)] = 0
    """Conversions at zero input that are averaged to learn each column's offset, which is then subtracted digitally;
    0 for none."""
    offset_range: Range = 1.0
    """R of these conversions: a smaller one resolves offsets finer, and clips those beyond it."""
    gain_conversions: Annotated[int, within(limits.OFFSET_CONVERSIONS)] = 0
    """Conversions at a known input, and as many at zero input, that are averaged to learn each column's gain, by which
    its readings are then divided digitally; 0 for none. It takes a multiplication for every conversion."""
    gain_input: Range = 0.5
    """That input, a fraction of full scale."""
    gain_range: Range = 1.0
    """R of these conversions; it must hold the input."""
    full_scale_on_last_code: bool = False
    """False for 2^B steps (the macro), true for 2^B - 1 steps, full scale on the last code, as several published
    simulators have it."""
    round_to_integers: bool = True
    """Where one LSB at the range in use is at most one unit of the dot product, the digital side rounds readings to
    the integers that they must be."""

    @model_validator(mode="after")
    def _gain_input_is_read(self) -> AdcSpec:
        if self.gain_input > self.gain_range:
            raise NotPossible("gain_input", self.gain_input, f"at most adc.gain_range = {self.gain_range:g}")
        return self
