"""What a site is simulated on: a chip, its array and converters, and the formats. Frozen and hashable.

Nothing here holds a JAX array, so a `Hardware` can be a static argument, a dictionary key and part of a config hash.
Voltages are fractions of full scale; one LSB is the converter step at reference range R = 1 of the *calibrated*
converter (`ChipSpec.reference_bits`, `reference_polarity`), the unit in which noise is quoted.

Notation (used in all of `imctrain.imc`):
    N   rows of the array                     L   top input level, see `ArraySpec.levels`
    B   bits of the converter                 R   reference range, a fraction of full scale
    P   passes of an input operand            J   planes of a stored operand
    T   row tiles of a contraction            q   one LSB in units of the integer dot product
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Literal

from pydantic import model_validator

from imctrain import limits
from imctrain.calibration import Calibration, load_calibration
from imctrain.calibration.schema import SpreadLevel
from imctrain.calibration.variation import lacks_spread
from imctrain.errors import HardwareWarning, UserError
from imctrain.settings.base import NotPossible, Section
from imctrain.settings.chip_in_use import ChipInUse
from imctrain.settings.conditions import ConditionsConfig
from imctrain.settings.die import DieConfig
from imctrain.settings.formats import OPERANDS
from imctrain.settings.from_calibration import chip_of, site_settings, with_figures
from imctrain.settings.site import SiteSettings

Path = Literal["digital", "exact", "statistical", "auto"]
NOMINAL: Mapping[str, Mapping[str, Any]] = {
    "array": {"rows": 1152, "columns": 256, "input_bits": 5, "cell": "and"},
    "adc": {"bits": 8},
}
"""What stands in for a calibration's figures where there is no calibration: the `vlsi21` geometry."""


class Hardware(ChipInUse):
    """Everything a site needs to know: settings, whose every None is filled, and the chip's figures."""

    path: Path = "exact"
    """exact simulates every conversion; statistical draws each output from the distribution that its conversions
    have; auto takes the statistical path where it is valid and the exact one elsewhere, for each MVM and step;
    digital keeps the number formats and computes the integer products digitally (no array: never reported as
    analog)."""
    count_codes: bool = False
    """Telemetry counts the codes that are driven and stored, for an energy that knows them (`cost.value_aware`)."""

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, data: Any) -> Any:
        """Settings that are the calibration's, where none filled them in before."""
        if not isinstance(data, dict):
            return data
        filled = {}
        for name, figures in NOMINAL.items():
            section = data.get(name, cls.model_fields[name].default)
            if isinstance(section, Section):
                filled[name] = section.filled(figures)
        return data | filled

    @model_validator(mode="after")
    def _is_possible(self) -> Hardware:
        digital = self.path == "digital" or not self.mvms
        if not digital and set(self.formats.quantise) != set(OPERANDS):
            allowed = "all three on an array; any of them with path = 'digital'"
            raise NotPossible("formats.quantise", self.formats.quantise, allowed)
        bounds = limits.noise_lsb(self.chip.reference_bits)
        for name in ("sigma_lsb", "sigma_array_lsb", "sigma_adc_lsb", "sigma_slow_lsb", "sigma_common_lsb"):
            found = getattr(self.noise, name)
            if found is not None and not bounds.hold(found):
                raise NotPossible(f"noise.{name}", found, str(bounds))
        if not bounds.hold(self.total_lsb):
            most = f"noise of at most {bounds.high:g} LSB, all codes of the calibrated converter"
            raise NotPossible("noise.scale", self.noise.scale, f"{most}; this makes {self.total_lsb:g}")
        if self.has_dnl and not digital and self.adc.bits != self.chip.reference_bits:
            known = f"{self.chip.reference_bits}, the bits of the converter whose code widths (DNL) the calibration has"
            raise NotPossible("adc.bits", self.adc.bits, f"{known}, or any with noise.dnl = false")
        total = math.hypot(*self.parts_lsb)
        if not limits.is_part_of_noise(math.hypot(*self.shared_lsb), total):
            slow, common = self.shared_lsb
            key = "noise.sigma_slow_lsb" if slow >= common else "noise.sigma_common_lsb"
            least = f"slow and common noise within the total of {total:g} LSB (the root of the sum of their squares)"
            raise NotPossible(key, max(slow, common), least)
        return self

    @classmethod
    def from_calibration(
        cls,
        calibration: str | FilePath = "feasible-assumed",
        *,
        die: str | int | None = None,
        die_spread: SpreadLevel = "value",
        conditions: ConditionsConfig | None = None,
        **settings: Any,
    ) -> Hardware:
        """The hardware of a calibration.

        Args:
            calibration: name of a shipped one, or a JSON file.
            die: name of a measured die, or a number that draws one; the calibrated die by default.
            die_spread: low, value or high: which end of what is known of the dies' spread a number draws with.
            conditions: temperature and supply, no schedule; the calibration's reference by default.
            settings: sections and settings of `Hardware`, such as adc=AdcSpec(bits=6) or path="auto"; and
                preset="plain" or "robust", which they override.

        Raises UserError for a calibration that cannot be read, and a setting, a die or a condition that is not
        possible. Warns (HardwareWarning) of a die by number where the calibration does not say how dies differ.
        """
        path = settings.pop("path", cls.model_fields["path"].default)
        found = load_calibration(str(calibration))
        chosen = DieConfig(die=die, die_spread=die_spread)
        if (told := lacks_spread(found, chosen.die)) is not None:
            warnings.warn(told, HardwareWarning, stacklevel=2)
        return cls.filled_from(site_settings(settings), found, path, chosen, conditions)

    @classmethod
    def filled_from(
        cls,
        settings: SiteSettings,
        calibration: Calibration,
        path: Path,
        die: DieConfig | None = None,
        conditions: ConditionsConfig | None = None,
    ) -> Hardware:
        """The hardware of settings, with the calibration's figures where they have none.

        Raises UserError for a combination that is not possible, naming the calibration.
        """
        try:
            chip = chip_of(calibration, die, conditions)
            return cls(**with_figures(settings, calibration), path=path, chip=chip)
        except UserError as error:
            raise UserError(f"{error} (with calibration {calibration.name})") from None
