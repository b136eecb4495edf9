"""What a calibration gives to hardware: the figures that settings leave to it, and those of the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imctrain.calibration import Calibration
from imctrain.calibration.schema.typical import column_mean
from imctrain.settings.base import Section
from imctrain.settings.chip import ChipSpec, ColumnError
from imctrain.settings.presets import with_preset
from imctrain.settings.site import SiteSettings


def site_settings(given: Mapping[str, Any]) -> SiteSettings:
    """Settings by name, and `preset`, which they override."""
    chosen = dict(given)
    preset = chosen.pop("preset", None)
    if preset is not None:
        # What was set by hand wins over the preset; a section's own defaults do not.
        by_hand = {k: v.model_dump(exclude_unset=True) if isinstance(v, Section) else v for k, v in chosen.items()}
        sections = SiteSettings.sections()
        merged = with_preset(preset, by_hand)
        chosen = {key: sections[key](**value) if key in sections else value for key, value in merged.items()}
    return SiteSettings(**chosen)


def with_figures(settings: SiteSettings, calibration: Calibration) -> dict[str, Any]:
    """The settings by name, with the calibration's figures where they have none."""
    array = calibration.array
    figures = {"rows": array.rows, "columns": array.columns, "input_bits": array.input_bits, "cell": array.cell}
    return {name: getattr(settings, name) for name in SiteSettings.model_fields} | {
        "array": settings.array.filled(figures),
        "adc": settings.adc.filled({"bits": calibration.adc.bits}),
    }


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
