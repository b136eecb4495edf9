"""The regression of the survey of converters that the laws for energy and area share."""

from __future__ import annotations

import math

from imctrain.errors import UserError
from imctrain.technology.design import Design

FEWEST_BITS = 4.0
"""Below, the fit's power of the bits grows without bound: the survey has hardly any such converters."""


def effective_bits(design: Design) -> float:
    """B - 0.5 log2(1 + 12 sigma_adc^2): the noise beside that of quantisation.

    Raises:
        UserError: fewer than 4 effective bits.
    """
    bits = design.adc_bits - 0.5 * math.log2(1.0 + 12.0 * design.sigma_adc_lsb**2)
    if bits < FEWEST_BITS:
        raise UserError(
            f"the survey law holds from {FEWEST_BITS:g} effective bits up, adc_bits = {design.adc_bits} with "
            f"sigma_adc_lsb = {design.sigma_adc_lsb:g} has {bits:.2f}: take the technology laws-28nm"
        )
    return bits


def conversion_energy(design: Design, samples_per_s: float) -> float:
    """J of a conversion. See `survey_converter`."""
    bits = effective_bits(design)
    merit = min(128.3068 + 3.220512 * bits, 213.7807 - 2.871903 * math.log(samples_per_s))
    shannon = 0.5 * 10.0 ** ((6.02 * bits + 1.76 - merit) / 10.0)
    fit = math.exp(26.04962 + 1.880037 * math.log(design.node_nm) - 2.829126 * math.log(bits) - 1.470202)
    return shannon * fit * 1e-12
