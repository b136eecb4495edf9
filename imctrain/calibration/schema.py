"""The calibration file: what is known of a chip's noise and mismatch, as JSON. See calibration/README.md.

Units: one LSB is a step of the calibrated converter at reference range R = 1. gain is relative to the nominal transfer
code = v * 2**(B-1) / R.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from imctrain.errors import UserError

SCHEMA_MAJOR = 1
NonNegative = Annotated[float, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Source(_Model):
    """The measurements that a calibration was fitted to."""

    file: str
    sha256: str
    rows: Annotated[int, Field(ge=0)]
    date: str


class Array(_Model):
    """Geometry of the measured array."""

    rows: Annotated[int, Field(ge=1, le=65536)] = 1152
    columns: Annotated[int, Field(ge=1, le=65536)] = 256
    input_bits: Annotated[int, Field(ge=1, le=8)] = 5
    cell: Literal["and", "xnor"] = "and"


class Adc(_Model):
    """The converter that the figures below were calibrated on."""

    bits: Annotated[int, Field(ge=2, le=24)] = 8
    range: Annotated[float, Field(gt=0, le=1)] = 1.0
    polarity: Literal["bipolar", "unipolar"] = "bipolar"


class Estimate(_Model):
    """A value with the bounds of its confidence interval."""

    value: NonNegative
    low: NonNegative
    high: NonNegative

    @model_validator(mode="after")
    def _ordered(self) -> Estimate:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"low <= value <= high does not hold for {self.low}, {self.value}, {self.high}")
        return self


class Noise(_Model):
    """Temporal noise, in LSB at R = 1: total before rounding, and its two parts where they could be told apart."""

    sigma_lsb: Estimate
    sigma_array_lsb: Estimate | None = None
    sigma_adc_lsb: Estimate | None = None


class Column(_Model):
    """Fixed pattern and noise of one measured column, from `n` conversions."""

    column: Annotated[int, Field(ge=0)]
    gain: float = 1.0
    offset_lsb: float = 0.0
    sigma_lsb: NonNegative = 0.0
    n: Annotated[int, Field(ge=0)] = 0


class Spread(_Model):
    """Standard deviations from which columns that were not measured are drawn."""

    gain_std: NonNegative = 0.0
    offset_std_lsb: NonNegative = 0.0


class Inl(_Model):
    """Integral non-linearity: values in LSB at knots in v (fraction of full scale), linear between them."""

    v: tuple[float, ...] = ()
    lsb: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _knots(self) -> Inl:
        if len(self.v) != len(self.lsb):
            raise ValueError(f"v has {len(self.v)} knots but lsb has {len(self.lsb)} values")
        if any(b <= a for a, b in zip(self.v, self.v[1:], strict=False)):
            raise ValueError("knots in v must rise")
        return self


class Fit(_Model):
    """How well the model describes the measurements."""

    r2: float = 1.0
    residual_kurtosis: float = 3.0
    clipped_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    rejected_rows: Annotated[int, Field(ge=0)] = 0
    warnings: tuple[str, ...] = ()


class Calibration(_Model):
    """A calibration file."""

    schema_version: str = "1.0"
    name: str
    provenance: Literal["measured", "published", "assumed"]
    notes: str = ""
    source: Source | None = None
    array: Array = Array()
    adc: Adc = Adc()
    noise: Noise
    columns: tuple[Column, ...] = ()
    spread: Spread = Spread()
    inl: Inl = Inl()
    fit: Fit = Fit()

    @model_validator(mode="after")
    def _consistent(self) -> Calibration:
        if self.provenance == "measured" and self.source is None:
            raise ValueError("provenance 'measured' needs a source: the measurements it was fitted to")
        if self.provenance != "measured" and self.source is not None:
            raise ValueError(f"provenance {self.provenance!r} has a source: only 'measured' may name measurements")
        numbers = [column.column for column in self.columns]
        if len(set(numbers)) != len(numbers):
            raise ValueError("a column is listed twice")
        if numbers and max(numbers) >= self.array.columns:
            raise ValueError(f"column {max(numbers)} is beyond the array's {self.array.columns} columns")
        return self


def shipped_folder() -> Path:
    """Where the calibrations that come with the project lie: in the wheel, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "shipped" / "calibration"
    return installed if installed.is_dir() else package.parent / "calibration"


def shipped_names() -> list[str]:
    return sorted(path.stem for path in shipped_folder().glob("*.json"))


def find_calibration(name_or_path: str, relative_to: Path | None = None) -> Path:
    """The file of a shipped name, or a path relative to `relative_to` (a config's folder) or the current folder."""
    given = Path(name_or_path).expanduser()
    candidates = [given] if relative_to is None else [relative_to / given, given]
    if given.suffix == "" and len(given.parts) == 1:
        candidates.append(shipped_folder() / f"{name_or_path}.json")
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(
        f"calibration {name_or_path!r} not found: give the path of a calibration JSON or one of the shipped "
        f"{', '.join(shipped_names())}"
    )


def load_calibration(name_or_path: str, relative_to: Path | None = None) -> Calibration:
    """Read and validate a calibration. Raises UserError with one line on what is wrong."""
    path = find_calibration(name_or_path, relative_to)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"calibration {path}: not a readable JSON file ({error})") from None
    return parse_calibration(data, str(path))


def parse_calibration(data: object, where: str) -> Calibration:
    """Validate the content of a calibration file; `where` names it in errors."""
    version = str(data.get("schema_version", "")) if isinstance(data, dict) else ""
    major = version.partition(".")[0]
    if major.isdigit() and int(major) != SCHEMA_MAJOR:
        raise UserError(
            f"calibration {where}: schema_version {version} is not supported, this version reads {SCHEMA_MAJOR}.x: "
            "fit it again with `imctrain calibrate`, or update imctrain"
        )
    try:
        return Calibration.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise UserError(f"calibration {where}: {key}: {first['msg'].removeprefix('Value error, ')}") from None


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration; the file is complete or not there at all."""
    text = calibration.model_dump_json(indent=1) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
