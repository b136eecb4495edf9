"""Energy of a conversion: the better fifth of all published converters."""

from __future__ import annotations

from imctrain.technology.design import Design
from imctrain.technology.laws._survey import conversion_energy
from imctrain.technology.laws.base import Law


def survey_converter(design: Design, *, samples_per_s: float = 1.5e7, scale: float = 1.0) -> float:
    """`0.00524 10^(0.28 B) t^1.88 B^-2.83` pJ, given in J; t in nm, B effective bits. Accelergy's ADC plug-in, a
    regression of Murmann's survey of converters (1997-2023).

    B is `adc_bits - 0.5 log2(1 + 12 sigma_adc^2)`, so that noise has a price. The law is the plug-in's figure of merit
    with B as it is, where the plug-in rounds it up. Above a rate that falls with B (1 GS/s at 8 b, 0.1 GS/s at 10 b)
    energy grows with the rate to the 0.66. The supply is each converter's own.

    Args:
        samples_per_s: of one converter. scale: multiplies all; CiMLoop takes 0.275 to meet the 65 nm macro of Jia et
            al.

    Raises:
        UserError: fewer than 4 effective bits.
    """
    return scale * conversion_energy(design, samples_per_s)


MEMBER = Law(survey_converter, "energy", prices_noise=True)
