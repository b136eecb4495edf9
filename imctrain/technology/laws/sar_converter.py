"""Energy of a conversion: successive approximation, fitted to published 28 nm macros."""

from __future__ import annotations

from imctrain.technology.design import Design
from imctrain.technology.laws.base import Law


def sar_converter(
    design: Design, *, bit_f: float = 100e-15, code_f: float = 1e-18, node_nm: float = 28.0, scale: float = 1.0
) -> float:
    """`(bit_f B + code_f 4^B max(1, 1/(12 sigma_adc^2))) V^2`, J. ZigZag-IMC (KU Leuven, `AimcArrayUnit.get_adc_cost`):
    100 fF a bit and 0.001 fF a squared code, fitted to three 28 nm macros.

    The second term is that of a converter whose noise is its own quantisation, 1/sqrt(12) LSB. A quieter one needs
    capacitors larger by 1/(12 sigma^2): thermal noise power goes with 1/C (this project's decision, so that noise has a
    price). A converter that is noisier is not cheaper. Where sigma_adc is 0, it is not known, and the factor is 1.

    Args:
        bit_f, code_f: F at `node_nm`; they go with the node. scale: multiplies all.
    """
    sigma = design.sigma_adc_lsb
    noise = max(1.0, 1.0 / (12.0 * sigma**2)) if sigma > 0 else 1.0
    capacitance = bit_f * design.adc_bits + code_f * 4.0**design.adc_bits * noise
    return scale * capacitance * design.node_nm / node_nm * design.supply_v**2


MEMBER = Law(sar_converter, "energy", prices_noise=True)
