"""Area of a converter: the regression of all published converters."""

from __future__ import annotations

import math

from imctrain.technology.design import Design
from imctrain.technology.laws._survey import conversion_energy
from imctrain.technology.laws.base import Law


def survey_converter_area(design: Design, *, samples_per_s: float = 1.5e7, scale: float = 1.0) -> float:
    """`exp(1.346) t^0.993 f^0.181 E^0.299` um^2, given in m^2; t in nm, f in 1/s, E in pJ (`survey_converter`).
    Accelergy's ADC plug-in, the same regression.

    Args:
        samples_per_s: f, of one converter. scale: multiplies all.

    Raises:
        UserError: fewer than 4 effective bits.
    """
    energy_pj = conversion_energy(design, samples_per_s) * 1e12
    logarithm = 1.346192 + 0.9932795 * math.log(design.node_nm) + 0.1807154 * math.log(samples_per_s)
    return scale * math.exp(logarithm + 0.2991243 * math.log(energy_pj)) * 1e-12


MEMBER = Law(survey_converter_area, "area", prices_noise=True)
