"""The calibration file: what is known of a chip's noise and mismatch, as JSON. See calibration/README.md.

Units: one LSB is a step of the calibrated converter at reference range R = 1. gain is relative to the nominal transfer
code = v * 2**(B-1) / R (bipolar) or v * 2**B / R (unipolar). Fields whose default is None are left out of the file
when the measurements do not support them, except those of the base layout, which are then null.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from imctrain.calibration.consistency import inconsistencies
from imctrain.errors import UserError
from imctrain.files import replacing

SCHEMA_MAJOR = 1
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Interval = tuple[float, float]
"""Lower and upper bound of a confidence interval."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    base_nulls: ClassVar[frozenset[str]] = frozenset()
    """Fields that are written as null, rather than left out, when they are not known."""

    @model_serializer(mode="wrap")
    def _without_unknown(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: x for key, x in handler(self).items() if x is not None or key in self.base_nulls}


class Source(_Model):
    """The measurements that a calibration was fitted to."""

    file: str
    sha256: str
    rows: Count
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


class SignedEstimate(_Model):
    """A value of either sign with the bounds of its confidence interval."""

    value: float
    low: float
    high: float


class Noise(_Model):
    """Temporal noise, in LSB at R = 1: total before rounding, and its two parts where they could be told apart."""

    base_nulls = frozenset({"sigma_array_lsb", "sigma_adc_lsb"})

    sigma_lsb: Estimate
    sigma_array_lsb: Estimate | None = None
    sigma_adc_lsb: Estimate | None = None


class Column(_Model):
    """Fixed pattern and noise of one measured column, from `n` conversions."""

    column: Count
    gain: float = 1.0
    offset_lsb: float = 0.0
    sigma_lsb: NonNegative = 0.0
    n: Count = 0
    gain_ci: Interval | None = None
    offset_ci_lsb: Interval | None = None
    sigma_ci_lsb: Interval | None = None


class Spread(_Model):
    """Standard deviations from which columns that were not measured are drawn."""

    gain_std: NonNegative = 0.0
    offset_std_lsb: NonNegative = 0.0
    gain_std_ci: Interval | None = None
    offset_std_ci_lsb: Interval | None = None


class Inl(_Model):
    """Integral non-linearity that all columns share: values in LSB at knots in v, linear between, constant outside.

    `low` and `high` bound it; `column_rms_lsb` is the rms of what single columns deviate from it.
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


class RangeNoise(_Model):
    """Total noise at one reference range, in LSB of that range, fitted on its own."""

    range: Annotated[float, Field(gt=0, le=1)]
    sigma_lsb: Estimate
    n: Count
    clipped_fraction: Fraction


class Dependence(_Model):
    """Change with temperature (unit: degree Celsius) or supply (unit: volt) about a reference.

    At `reference + x` the transfer is gain * (1 + x * gain_per_unit), offset_lsb + x * offset_lsb_per_unit, and the
    noise sigma * exp(x * sigma_per_unit).
    """

    reference: float
    lowest: float
    highest: float
    gain_per_unit: SignedEstimate
    offset_lsb_per_unit: SignedEstimate
    sigma_per_unit: SignedEstimate


class Die(_Model):
    """One die of several: means and standard deviations over its columns."""

    die: str
    columns: Count
    n: Count
    gain_mean: float
    gain_std: NonNegative
    offset_mean_lsb: float
    offset_std_lsb: NonNegative
    sigma_lsb: Estimate
    gain_mean_ci: Interval | None = None
    offset_mean_ci_lsb: Interval | None = None


class DieSpread(_Model):
    """Standard deviations of the dies' means; intervals are those of a Gaussian population of dies."""

    gain_std: NonNegative
    offset_std_lsb: NonNegative
    sigma_std_lsb: NonNegative
    gain_std_ci: Interval | None = None
    offset_std_ci_lsb: Interval | None = None
    sigma_std_ci_lsb: Interval | None = None


class Tails(_Model):
    """Rare conversions: the fraction beyond four sigma against a Gaussian's, and that of bad rows of any code."""

    beyond_4_sigma: Fraction
    beyond_4_sigma_gaussian: Fraction
    bad_row_fraction: Fraction
    beyond_4_sigma_ci: Interval | None = None
    bad_row_fraction_ci: Interval | None = None


class Confidence(_Model):
    """What the intervals in the file are."""

    level: Annotated[float, Field(gt=0, lt=1)]
    method: str
    replicates: Count


class Fit(_Model):
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


class Calibration(_Model):
    """A calibration file."""

    base_nulls = frozenset({"source"})

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
    ranges: tuple[RangeNoise, ...] | None = None
    temperature: Dependence | None = None
    supply: Dependence | None = None
    dies: tuple[Die, ...] | None = None
    die_spread: DieSpread | None = None

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
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"calibration {path}: not a readable JSON file ({error})") from None
    return parse_calibration(data, str(path))


def parse_calibration(data: object, where: str) -> Calibration:
    """Validate the content of a calibration file; `where` names it in errors.

    Raises:
        UserError: the content is no calibration, or no chip has its figures (`consistency`), in one line.
    """
    if not isinstance(data, dict):
        raise UserError(f"calibration {where}: the file holds no JSON object: give a calibration, as in its README")
    version = data.get("schema_version")
    match = re.fullmatch(r"(\d+)\.\d+", version) if isinstance(version, str) else None
    if match is None:
        raise UserError(
            f'calibration {where}: schema_version is {version!r}, a calibration has "{SCHEMA_MAJOR}.0": is this '
            "another kind of file?"
        )
    if int(match[1]) != SCHEMA_MAJOR:
        raise UserError(
            f"calibration {where}: schema_version {version} is not supported, this version reads {SCHEMA_MAJOR}.x: "
            "fit it again with `imctrain calibrate`, or update imctrain"
        )
    try:
        calibration = Calibration.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise UserError(f"calibration {where}: {key}: {first['msg'].removeprefix('Value error, ')}") from None
    refuse_inconsistent(calibration, f"calibration {where}")
    return calibration


def refuse_inconsistent(calibration: Calibration, where: str) -> None:
    """Raises UserError, naming `where`, for figures that no chip has or that contradict each other."""
    wrong = inconsistencies(calibration)
    if wrong:
        more = "" if len(wrong) == 1 else f" (and {len(wrong) - 1} more)"
        raise UserError(f"{where}: {wrong[0]}{more}")


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write a calibration; the file is complete or not there at all."""
    with replacing(path) as temporary:
        temporary.write_text(calibration.model_dump_json(indent=1) + "\n", encoding="utf-8")
