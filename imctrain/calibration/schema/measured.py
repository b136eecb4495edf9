"""What was measured: the conversions, the array and its converter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imctrain.calibration.schema.base import Count, Model


class Source(Model):
    """The measurements that a calibration was fitted to."""

    file: str
    sha256: str
    rows: Count
    date: str


class Array(Model):
    """Geometry of the measured array."""

    rows: Annotated[int, Field(ge=1, le=65536)] = 1152
    columns: Annotated[int, Field(ge=1, le=65536)] = 256
    input_bits: Annotated[int, Field(ge=1, le=8)] = 5
    cell: Literal["and", "xnor"] = "and"


class Adc(Model):
    """The converter that the figures below were calibrated on."""

    bits: Annotated[int, Field(ge=2, le=24)] = 8
    range: Annotated[float, Field(gt=0, le=1)] = 1.0
    polarity: Literal["bipolar", "unipolar"] = "bipolar"
