"""[imc.chip]: which die of the calibration an experiment runs on."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from imctrain import limits
from imctrain.calibration.schema import SpreadLevel
from imctrain.settings.base import NotPossible, Section, within

DieName = Annotated[str, Field(min_length=1)]
DieNumber = Annotated[int, within(limits.DIE)]


class DieConfig(Section):
    """[imc.chip]"""

    PREFIX: ClassVar[str] = "chip."

    die: DieNumber | DieName | None = None
    """A name takes the measured figures of that die of the calibration; a number draws a die from the calibration's
    `die_spread`, always the same one. The die whose columns the calibration lists by default. Its unmeasured columns
    are drawn by `chip_seed`."""
    die_spread: SpreadLevel = "value"
    """Which end of what is known of the `die_spread` a die by number is drawn with: three measured dies leave a
    standard deviation within a factor of 0.52 to 6.3 (95 %). low and high are the ends of that interval."""

    @model_validator(mode="before")
    @classmethod
    def _one_kind(cls, data: Any) -> Any:
        # Before pydantic tries both kinds, so that what is wrong is told once.
        if isinstance(data, dict) and data.get("die") is not None:
            check_die(data["die"])
        return data


def check_die(die: object) -> None:
    """Raises NotPossible for what is neither the name nor the number of a die."""
    named = isinstance(die, str) and die != ""
    numbered = isinstance(die, int) and not isinstance(die, bool) and limits.DIE.hold(die)
    if not named and not numbered:
        raise NotPossible("die", die, f"a number, {limits.DIE}, or the name of a die")
