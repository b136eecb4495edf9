"""What changes with temperature and supply."""

from __future__ import annotations

from typing import Literal

from imctrain.calibration.fit.bootstrap import half_width
from imctrain.calibration.schema import Dependence
from imctrain.calibration.sections.bounds import rounded, signed
from imctrain.calibration.sections.evidence import Evidence


def dependence_of(e: Evidence, name: Literal["temperature", "supply"]) -> Dependence | None:
    """Change with temperature or supply, where measured."""
    fit = e.fit
    for index, condition in enumerate(fit.transfer.conditions):
        if condition.name != name:
            continue
        k = fit.parameters.inl.size
        half = half_width(e.replicates.shared[:, k + 2 * index : k + 2 * index + 2])
        slopes = fit.parameters.slopes[2 * index : 2 * index + 2]
        half_sigma = float(half_width(e.replicates.noise[:, 2 + index]))
        return Dependence(
            reference=condition.reference,
            lowest=rounded(condition.lowest),
            highest=rounded(condition.highest),
            gain_per_unit=signed(slopes[0], half[0]),
            offset_lsb_per_unit=signed(slopes[1], half[1]),
            sigma_per_unit=signed(fit.noise.slopes[index], half_sigma),
        )
    return None
