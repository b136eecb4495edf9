"""How a chip was measured: what a file of conversions does not say itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imctrain.calibration.options import require

MAX_BITS = 14
"""Resolution up to which conversions are calibrated; column converters of arrays have 4 to 10 bits."""


@dataclass(frozen=True)
class MeasurementSetup:
    """Converter and array of the measured chip.

    Attributes:
        bits: B, resolution of the ADC.
        polarity: "bipolar" (codes -2**(B-1) .. 2**(B-1)-1 for v in [-1, 1]) or "unipolar" (0 .. 2**B-1, v in [0, 1]).
        range: R of conversions without a `range` column, as a fraction of full scale.
        zero_code: the ADC's output for v = 0; it is subtracted (128 for an 8-bit offset-binary bipolar ADC).
        rows, levels: N and L of the array; `dot` is divided by N * L. None where not told.
        columns: columns of the array; None: the highest measured column + 1.
        cell: "and" or "xnor".

    Raises:
        UserError: a value that no chip can have.
    """

    bits: int = 8
    polarity: Literal["bipolar", "unipolar"] = "bipolar"
    range: float = 1.0
    zero_code: int = 0
    rows: int | None = None
    levels: int | None = None
    columns: int | None = None
    cell: Literal["and", "xnor"] = "and"

    def __post_init__(self) -> None:
        require(2 <= self.bits <= MAX_BITS, "--bits", self.bits, f"2 to {MAX_BITS}")
        require(self.polarity in ("bipolar", "unipolar"), "--polarity", self.polarity, "bipolar or unipolar")
        require(self.cell in ("and", "xnor"), "--cell", self.cell, "and or xnor")
        require(0.0 < self.range <= 1.0, "--range", self.range, "above 0 and at most 1 (a fraction of full scale)")
        require(self.rows is None or 1 <= self.rows <= 65536, "--rows", self.rows, "1 to 65536")
        powers = tuple(2**k for k in range(8))
        require(self.levels is None or self.levels in powers, "--levels", self.levels, f"one of {powers}")
        require(self.columns is None or 1 <= self.columns <= 65536, "--columns", self.columns, "1 to 65536")

    @property
    def lowest(self) -> int:
        """The lowest code, `zero_code` subtracted."""
        return 0 if self.polarity == "unipolar" else -(2 ** (self.bits - 1))

    @property
    def highest(self) -> int:
        """The highest code, `zero_code` subtracted."""
        return self.lowest + 2**self.bits - 1

    @property
    def codes_per_v(self) -> int:
        """Codes per unit of v at R = 1: the nominal transfer is code = v * codes_per_v / R."""
        return 2**self.bits if self.polarity == "unipolar" else 2 ** (self.bits - 1)

    @property
    def lowest_v(self) -> float:
        """The lowest input, as a fraction of full scale."""
        return 0.0 if self.polarity == "unipolar" else -1.0
