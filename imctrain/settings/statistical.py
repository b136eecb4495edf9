"""[imc.statistical]: where the statistical path may stand in for the exact one."""

from __future__ import annotations

from typing import Annotated, ClassVar

from imctrain import limits
from imctrain.settings.base import Section, within


class StatisticalSpec(Section):
    """Where the statistical path may stand in for the exact one."""

    PREFIX: ClassVar[str] = "statistical."

    bias_limit: Annotated[float, within(limits.BIAS_LIMIT)] = 0.0015
    """Largest bias, in LSB, that dithered rounding may leave. The default needs noise of 0.52 LSB at the range in
    use, where small signals keep their size within 1 % and the variance is within 2 % at any voltage; 0.03 needs 0.35
    LSB only, where a small signal comes out scaled by 0.82."""
    clip_limit: Annotated[float, within(limits.CLIP_LIMIT)] = 2e-3
    """Largest fraction of conversions of a pass that may clip."""
    inl_limit: Annotated[float, within(limits.INL_LIMIT)] = 0.25
    """Largest distance of the INL from a straight line, in LSB: of the INL that all columns share, at R = 1; of what
    single columns add to it, over the range in use and in LSB of that range."""
