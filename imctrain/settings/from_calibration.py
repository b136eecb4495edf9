"""From a calibration, and settings that leave figures to it, to hardware."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from imctrain.calibration import Calibration, load_calibration
from imctrain.calibration.schema.typical import column_mean
from imctrain.errors import UserError
from imctrain.settings.base import Section
from imctrain.settings.chip import ChipSpec, ColumnError
from imctrain.settings.hardware import Hardware, SiteSettings
from imctrain.settings.presets import with_preset

S = TypeVar("S", bound=Section)


def hardware_from(calibration: str | Path, settings: Mapping[str, Any]) -> Hardware:
    """See `Hardware.from_calibration`."""
    given = dict(settings)
    path, preset = given.pop("path", "exact"), given.pop("preset", None)
    if preset is not None:
        # What was set by hand wins over the preset; a section's own defaults do not.
        by_hand = {k: v.model_dump(exclude_unset=True) if isinstance(v, Section) else v for k, v in given.items()}
        sections = SiteSettings.sections()
        merged = with_preset(preset, by_hand)
        given = {key: sections[key](**value) if key in sections else value for key, value in merged.items()}
    return fill(SiteSettings(**given), load_calibration(str(calibration)), path)


def fill(settings: SiteSettings, calibration: Calibration, path: str) -> Hardware:
    """Hardware of a calibration: its figures where the settings have none.

    Raises UserError for a combination that is not possible, naming the calibration.
    """
    array = calibration.array
    figures = {"rows": array.rows, "columns": array.columns, "input_bits": array.input_bits, "cell": array.cell}
    try:
        return Hardware(
            **{name: getattr(settings, name) for name in SiteSettings.model_fields}
            | {
                "array": _filled(settings.array, figures),
                "adc": _filled(settings.adc, {"bits": calibration.adc.bits}),
                "path": path,
                "chip": chip_of(calibration),
            }
        )
    except UserError as error:
        raise UserError(f"{error} (with calibration {calibration.name})") from None


def chip_of(calibration: Calibration) -> ChipSpec:
    """The figures of a calibration that sites are simulated with."""
    array_part, adc_part = noise_parts(calibration)
    mean = column_mean(calibration)
    return ChipSpec(
        sigma_array_lsb=array_part,
        sigma_adc_lsb=adc_part,
        reference_bits=calibration.adc.bits,
        reference_polarity=calibration.adc.polarity,
        columns=tuple(ColumnError(c.column, c.gain, c.offset_lsb) for c in calibration.columns),
        gain_mean=mean.gain,
        gain_std=calibration.spread.gain_std,
        offset_mean_lsb=mean.offset_lsb,
        offset_std_lsb=calibration.spread.offset_std_lsb,
        inl_v=tuple(calibration.inl.v),
        inl_lsb=tuple(calibration.inl.lsb),
    )


def noise_parts(calibration: Calibration) -> tuple[float, float]:
    """(before the range, in the converter), LSB; what cannot be told apart counts as before the range."""
    noise = calibration.noise
    if noise.sigma_array_lsb is None or noise.sigma_adc_lsb is None:
        return noise.sigma_lsb.value, 0.0
    return noise.sigma_array_lsb.value, noise.sigma_adc_lsb.value


def _filled(section: S, figures: Mapping[str, Any]) -> S:
    missing = {key: value for key, value in figures.items() if getattr(section, key) is None}
    return section.replace(**missing) if missing else section
