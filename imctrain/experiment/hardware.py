"""From a config and a calibration to the hardware and the rules that sites get."""

from __future__ import annotations

from pathlib import Path

from imctrain.calibration import Calibration, load_calibration
from imctrain.calibration.means import column_mean
from imctrain.config import Config, ImcConfig
from imctrain.errors import UserError
from imctrain.imc.hardware import (
    AdcSpec,
    ArraySpec,
    ColumnError,
    FormatSpec,
    Hardware,
    MappingSpec,
    NoiseSpec,
    StatisticalSpec,
)
from imctrain.intercept import Rule


def calibration_of(config: Config, config_dir: Path | None = None) -> Calibration:
    """The calibration that a config names; paths are relative to the config's folder."""
    return load_calibration(config.imc.calibration, config_dir)


def build_hardware(imc: ImcConfig, calibration: Calibration) -> Hardware:
    """Hardware of all sites that no rule changes. Raises UserError for a combination that is not possible."""
    try:
        return _hardware(imc, calibration)
    except UserError as error:
        raise UserError(f"imc.{error} (with calibration {calibration.name})") from None


def _hardware(imc: ImcConfig, calibration: Calibration) -> Hardware:
    array = calibration.array
    return Hardware(
        array=ArraySpec(
            rows=imc.array.rows or array.rows,
            columns=imc.array.columns or array.columns,
            input_bits=imc.array.input_bits or array.input_bits,
            drive=imc.array.drive,
            cell=imc.array.cell or array.cell,
            replicate=imc.array.replicate,
            segment_rows=imc.array.segment_rows,
            chop=imc.array.chop,
            macros=imc.array.macros,
        ),
        adc=AdcSpec(**(imc.adc.model_dump(exclude={"bits"}) | {"bits": imc.adc.bits or calibration.adc.bits})),
        noise=build_noise(imc, calibration),
        formats=FormatSpec(**imc.formats.model_dump()),
        mapping=MappingSpec(**imc.mapping.model_dump()),
        statistical=StatisticalSpec(**imc.statistical.model_dump()),
        path="exact" if imc.path == "float" else imc.path,
        mvms=imc.mvms,
        chip_seed=imc.chip_seed,
        memory_mib=imc.memory_mib,
    )


def build_noise(imc: ImcConfig, calibration: Calibration) -> NoiseSpec:
    """Noise and mismatch of a calibration with the config's overrides.

    The calibration's figures are kept beside them, so that a rule can set total noise or mismatch anew for a site.
    """
    array_part, adc_part = noise_parts(calibration)
    mean = column_mean(calibration)
    return NoiseSpec(
        sigma_array_lsb=array_part,
        sigma_adc_lsb=adc_part,
        reference_bits=calibration.adc.bits,
        reference_polarity=calibration.adc.polarity,
        scale=imc.noise.scale,
        columns=tuple(ColumnError(c.column, c.gain, c.offset_lsb) for c in calibration.columns),
        gain_std=calibration.spread.gain_std,
        offset_std_lsb=calibration.spread.offset_std_lsb,
        inl_v=calibration.inl.v,
        inl_lsb=calibration.inl.lsb,
        gain_mean=mean.gain,
        offset_mean_lsb=mean.offset_lsb,
        sigma_lsb=imc.noise.sigma_lsb,
        mismatch=imc.noise.mismatch,
    )


def noise_parts(calibration: Calibration) -> tuple[float, float]:
    """(before the range, in the converter), LSB; what cannot be told apart counts as before the range."""
    noise = calibration.noise
    if noise.sigma_array_lsb is None or noise.sigma_adc_lsb is None:
        return noise.sigma_lsb.value, 0.0
    return noise.sigma_array_lsb.value, noise.sigma_adc_lsb.value


def total_sigma_lsb(hardware: Hardware) -> float:
    """Total noise before rounding in LSB at R = 1 of the calibrated converter, `scale` included."""
    return hardware.noise.total_lsb


def build_rules(imc: ImcConfig) -> tuple[Rule, ...]:
    """The config's rules."""
    try:
        return tuple(Rule(rule.match, rule.path, rule.overrides) for rule in imc.rules)
    except UserError as error:
        raise UserError(f"imc.rules: {error}") from None
