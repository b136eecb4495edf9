"""One figure of a calibration in words: its value, its unit, its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imctrain.calibration.schema import Interval


@dataclass(frozen=True)
class Figure:
    """One figure: a label, a value and, where known, its interval; value None where the measurements do not tell it."""

    label: str
    unit: str
    value: float | None
    bounds: Interval | None = None
    digits: int = 3

    @property
    def text(self) -> str:
        """Such as "0.502 LSB"."""
        return "not known" if self.value is None else f"{self._number(self.value)} {self.unit}".strip()

    @property
    def interval(self) -> str:
        """Such as "0.499 to 0.505"; "" where there is none."""
        if self.bounds is None or self.bounds[0] == self.bounds[1]:
            return ""
        return f"{self._number(self.bounds[0])} to {self._number(self.bounds[1])}"

    def _number(self, value: float) -> str:
        digits = self.digits
        if self.bounds is not None and 0 < self.bounds[1] - self.bounds[0] < 10.0**-digits:
            # As many decimals as tell the bounds apart.
            digits = min(6, math.ceil(-math.log10(self.bounds[1] - self.bounds[0])))
        return f"{value:.{digits}f}" if abs(value) >= 10.0**-digits or value == 0 else f"{value:.1e}"

    def differs_from(self, other: Figure) -> bool | None:
        """Whether the two intervals lie apart; None where one has none."""
        if self.bounds is None or other.bounds is None or (self.interval == "" and other.interval == ""):
            return None
        return self.bounds[0] > other.bounds[1] or other.bounds[0] > self.bounds[1]
