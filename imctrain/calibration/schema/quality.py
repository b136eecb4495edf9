"""How far the figures can be trusted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from imctrain.calibration.schema.base import Count, Fraction, Interval, Model


class Tails(Model):
    """Rare conversions: the fraction beyond four sigma against a Gaussian's, and that of bad rows of any code."""

    beyond_4_sigma: Fraction
    beyond_4_sigma_gaussian: Fraction
    bad_row_fraction: Fraction
    beyond_4_sigma_ci: Interval | None = None
    bad_row_fraction_ci: Interval | None = None


class Confidence(Model):
    """What the intervals in the file are."""

    level: Annotated[float, Field(gt=0, lt=1)]
    method: str
    replicates: Count


class Fit(Model):
    """How well the model describes the measurements."""

    r2: float = 1.0
    residual_kurtosis: float = 3.0
    clipped_fraction: Fraction = 0.0
    rejected_rows: Count = 0
    warnings: tuple[str, ...] = ()
    residual_kurtosis_ci: Interval | None = None
    tails: Tails | None = None
    outlier_columns: tuple[int, ...] | None = None
    dead_columns: tuple[int, ...] | None = None
    confidence: Confidence | None = None
