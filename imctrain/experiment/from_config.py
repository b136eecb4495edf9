"""From a config and a calibration to the hardware and the rules that sites get."""

from __future__ import annotations

from pathlib import Path

from imctrain.calibration import Calibration, load_calibration
from imctrain.errors import UserError
from imctrain.intercept import Rule
from imctrain.settings import Config, Hardware, ImcConfig


def calibration_of(config: Config, config_dir: Path | None = None) -> Calibration:
    """The calibration that a config names; paths are relative to the config's folder."""
    return load_calibration(config.imc.calibration, config_dir)


def build_hardware(imc: ImcConfig, calibration: Calibration, epoch: int = 0) -> Hardware:
    """Hardware of all sites that no rule changes, at the conditions of an epoch.

    Raises UserError for a combination that is not possible.
    """
    try:
        path = "exact" if imc.path == "float" else imc.path
        return Hardware.filled_from(imc, calibration, path, imc.chip, imc.conditions.at(epoch))
    except UserError as error:
        raise UserError(f"imc.{error}") from None


def build_rules(imc: ImcConfig) -> tuple[Rule, ...]:
    """The config's rules."""
    try:
        return tuple(Rule(rule.match, rule.path, rule.overrides) for rule in imc.rules)
    except UserError as error:
        raise UserError(f"imc.rules: {error}") from None
