"""What a calibration gives to hardware: the figures that settings leave to it, and those of the chip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from imctrain.calibration import Calibration
from imctrain.calibration.dead_columns import dead_columns_of
from imctrain.calibration.variation import change, die_figures
from imctrain.errors import UserError
from imctrain.settings.base import Section
from imctrain.settings.chip import ChipSpec, ColumnError
from imctrain.settings.conditions import ConditionsConfig
from imctrain.settings.die import DieConfig
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


def chip_of(
    calibration: Calibration, die: DieConfig | None = None, conditions: ConditionsConfig | None = None
) -> ChipSpec:
    """The figures of a calibration that sites are simulated with: of a die, at a condition (no schedule).

    Raises UserError for a die that the calibration does not have, and a condition that it says nothing of.
    """
    die = die or DieConfig()
    figures = die_figures(calibration, die.die, die.die_spread)
    by = _change(calibration, conditions or ConditionsConfig())
    of, sigma, dead = figures.population, figures.noise * by.noise, dead_columns_of(calibration)
    noise = calibration.noise
    (array_part, adc_part), (slow, common) = noise.before_and_after, noise.shared
    return ChipSpec(
        sigma_array_lsb=array_part * sigma,
        sigma_adc_lsb=adc_part * sigma,
        sigma_slow_lsb=slow * sigma,
        sigma_common_lsb=common * sigma,
        reference_bits=calibration.adc.bits,
        reference_polarity=calibration.adc.polarity,
        columns=tuple(
            # What a dead column reads does not follow its input, and no slope was fitted to it.
            ColumnError(c.column, c.gain * by.gain, c.offset_lsb + (by.offset_lsb if c.gain else 0.0), c.noise)
            for c in figures.columns
        ),
        gain_mean=of.gain * by.gain,
        gain_std=of.gain_std * by.gain,
        offset_mean_lsb=of.offset_lsb + by.offset_lsb,
        offset_std_lsb=of.offset_std_lsb,
        noise_median=of.noise,
        noise_std=of.noise_std,
        dead_share=dead.share,
        dead_offsets_lsb=dead.offsets_lsb,
        dead_columns=dead.listed if figures.columns else (),
        column_draw=of.draw,
        varies=by is not UNCHANGED,
        noise_varies=any(column.sigma_lsb > 0 for column in calibration.columns),
        inl_v=tuple(calibration.inl.v),
        inl_lsb=tuple(calibration.inl.lsb),
        inl_column_rms_lsb=of.inl_rms_lsb,
        dnl_first_code=calibration.dnl.first_code if calibration.dnl else 0,
        dnl_thresholds=calibration.dnl.thresholds if calibration.dnl else (),
    )


class _By(NamedTuple):
    gain: float = 1.0
    offset_lsb: float = 0.0
    noise: float = 1.0


UNCHANGED = _By()


def _change(calibration: Calibration, conditions: ConditionsConfig) -> _By:
    """Of temperature and supply together; UNCHANGED where neither is given."""
    total = UNCHANGED
    for key, what, known in (
        ("temperature_c", "temperature", calibration.temperature),
        ("supply_v", "supply", calibration.supply),
    ):
        at = getattr(conditions, key)
        if at is None:
            continue
        if isinstance(at, tuple):
            raise UserError(f"conditions.{key} = {at!r} is a schedule: a hardware has one value, such as {at[0][1]:g}")
        if known is None:
            raise UserError(
                f"conditions.{key} = {at:g} is not possible: the calibration does not say what depends on {what}: "
                f"leave it out, or measure at several values of {COLUMN_OF[key]}"
            )
        if not conditions.extrapolate and not known.lowest <= at <= known.highest:
            raise UserError(
                f"conditions.{key} = {at:g} is not possible: measured is {known.lowest:g} to {known.highest:g}; "
                "conditions.extrapolate = true allows it"
            )
        by = change(known, at)
        if by.gain <= 0:
            raise UserError(
                f"conditions.{key} = {at:g} is not possible: no gain is left so far from {known.reference:g}"
            )
        total = _By(total.gain * float(by.gain), total.offset_lsb + float(by.offset_lsb), total.noise * float(by.noise))
    return total


COLUMN_OF = {"temperature_c": "temperature_c", "supply_v": "vdd_v"}
"""Of a file of measurements."""
