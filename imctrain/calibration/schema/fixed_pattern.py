"""What stays the same from conversion to conversion: columns, their spread, the INL."""

from __future__ import annotations

from pydantic import model_validator

from imctrain.calibration.schema.base import Count, Estimate, Interval, Model, NonNegative


class Column(Model):
    """Fixed pattern and noise of one measured column, from `n` conversions."""

    column: Count
    gain: float = 1.0
    offset_lsb: float = 0.0
    sigma_lsb: NonNegative = 0.0
    n: Count = 0
    gain_ci: Interval | None = None
    offset_ci_lsb: Interval | None = None
    sigma_ci_lsb: Interval | None = None


class Spread(Model):
    """Standard deviations from which columns that were not measured are drawn."""

    gain_std: NonNegative = 0.0
    offset_std_lsb: NonNegative = 0.0
    gain_std_ci: Interval | None = None
    offset_std_ci_lsb: Interval | None = None


class Inl(Model):
    """Integral non-linearity that all columns share: values in LSB at knots in v, linear between, constant outside.

    `low` and `high` bound it; `column_rms_lsb` is the rms of what single columns deviate from it, smoothly and
    without gain or offset.
    """

    v: tuple[float, ...] = ()
    lsb: tuple[float, ...] = ()
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    column_rms_lsb: Estimate | None = None

    @model_validator(mode="after")
    def _knots(self) -> Inl:
        if len(self.v) != len(self.lsb):
            raise ValueError(f"v has {len(self.v)} knots but lsb has {len(self.lsb)} values")
        for name in ("low", "high"):
            bound = getattr(self, name)
            if bound is not None and len(bound) != len(self.v):
                raise ValueError(f"v has {len(self.v)} knots but {name} has {len(bound)} values")
        if any(b <= a for a, b in zip(self.v, self.v[1:], strict=False)):
            raise ValueError("knots in v must rise")
        return self
