"""[imc.array]: the geometry of the array, and how operands are placed on it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from imctrain import limits
from imctrain.settings.base import FROM_CALIBRATION, NotPossible, OrCalibrations, Section, within

Cell = Literal["and", "xnor"]
Drive = Literal["signed", "unsigned"]
Lines = Annotated[int, Field(ge=1, le=65536)]


class ArraySpec(Section):
    """Geometry of the array (system: `vlsi21` geometry by default), and placement of operands."""

    PREFIX: ClassVar[str] = "array."

    rows: OrCalibrations[Lines] = FROM_CALIBRATION
    """N, rows that share charge on a column; full scale counts all of them. The calibration's by default."""
    columns: OrCalibrations[Lines] = FROM_CALIBRATION
    """Physical columns of one macro. The calibration's by default."""
    spare_columns: Annotated[int, Field(ge=0, le=65535)] = 0
    """Of these, how many are kept to take the place of dead ones: they hold no operand otherwise."""
    input_bits: OrCalibrations[Annotated[int, Field(ge=1, le=8)]] = FROM_CALIBRATION
    """b, resolution of the input DAC. The calibration's by default."""
    drive: Drive = "signed"
    """Codes of the input DAC: signed, -L to L with L = 2^(b-1), or unsigned, 0 to L with L = 2^b - 1, as several
    published simulators have it; what can be negative is then driven differentially."""
    cell: OrCalibrations[Cell] = FROM_CALIBRATION
    """and: a stored bit is 0 or 1; xnor: -1 or 1. The calibration's by default."""
    replicate: bool = True
    """Write an operand of K <= N/2 rows floor(N/K) times and drive the copies together: small operands otherwise use
    a fraction of the swing."""
    segment_rows: Lines | None = None
    """Rows of a segment; only segments in use share charge. No segments by default."""
    chop: bool = False
    """Drive signed vectors with a random sign each and turn their results back: offsets average out."""
    macros: Annotated[int, within(limits.MACROS)] = 16
    """Macros of the chip that sites are time-multiplexed over."""

    @model_validator(mode="after")
    def _segments_fit(self) -> ArraySpec:
        if self.rows is not None and self.segment_rows is not None and self.segment_rows > self.rows:
            raise NotPossible("segment_rows", self.segment_rows, "1 to array.rows")
        if self.columns is not None and self.spare_columns >= self.columns:
            raise NotPossible("spare_columns", self.spare_columns, f"fewer than array.columns = {self.columns}")
        return self

    @property
    def usable_columns(self) -> int:
        """Columns of one macro that operands are written to."""
        return self.columns - self.spare_columns

    @property
    def levels(self) -> int:
        """L: the largest input code; codes run from -L to L, or from 0 to L where the drive is unsigned."""
        return 2 ** (self.input_bits - 1) if self.drive == "signed" else 2**self.input_bits - 1
