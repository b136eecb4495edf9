"""Settings of a site: what a config says of all of them, and what a rule may change for some."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import model_validator

from imctrain import limits
from imctrain.settings.adc import AdcSpec
from imctrain.settings.array import ArraySpec
from imctrain.settings.base import NotPossible, Section, within
from imctrain.settings.formats import FormatSpec
from imctrain.settings.mapping import MOST_PLANES, MappingSpec
from imctrain.settings.noise import NoiseSpec
from imctrain.settings.statistical import StatisticalSpec

Mvm = Literal["forward", "input_grad", "weight_grad"]
MVMS: tuple[Mvm, ...] = ("forward", "input_grad", "weight_grad")
"""The three matrix-vector multiplies of a training step, in the order used by every per-MVM array."""


class SiteSettings(Section):
    """Settings of every site, which a rule may change for some."""

    mvms: tuple[Mvm, ...] = MVMS
    """MVMs on the array; the others keep the number formats and are computed digitally (for ablations)."""
    chip_seed: Annotated[int, within(limits.CHIP_SEED)] = 0
    """Draws the columns that were not measured."""
    memory_mib: Annotated[int, within(limits.MEMORY_MIB)] = 2
    """Bound on the conversions that one MVM holds at once; more are worked off in chunks. A few MiB stay in a CPU's
    cache, which is also fastest there; a GPU wants hundreds."""
    array: ArraySpec = ArraySpec()
    """The array, and how operands are placed on it."""
    adc: AdcSpec = AdcSpec()
    """The converter."""
    noise: NoiseSpec = NoiseSpec()
    """Noise and mismatch."""
    formats: FormatSpec = FormatSpec()
    """Number formats."""
    mapping: MappingSpec = MappingSpec()
    """Passes and planes."""
    statistical: StatisticalSpec = StatisticalSpec()
    """Where the statistical path may stand in."""

    @model_validator(mode="after")
    def _planes_hold_the_codes(self) -> Self:
        planes, bits = self.mapping.planes, sorted({self.formats.weight_bits, self.formats.activation_bits})
        fewest, most = bits[-1], min(2 ** bits[0] - 2, MOST_PLANES)
        if planes is not None and not fewest <= planes <= most:
            allowed = f"{fewest} to {most} with codes of {' and '.join(map(str, bits))} bits"
            raise NotPossible("mapping.planes", planes, allowed)
        return self
