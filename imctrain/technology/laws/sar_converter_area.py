"""Area of a converter: successive approximation, fitted to published 28 nm macros."""

from __future__ import annotations

from imctrain.technology.design import Design
from imctrain.technology.laws.base import Law
from imctrain.technology.scaling import factor


def sar_converter_area(
    design: Design, *, slope: float = 0.0369, offset: float = 1.206, node_nm: float = 28.0, scale: float = 1.0
) -> float:
    """`10^(offset - slope B) 2^B` um^2, given in m^2. ZigZag-IMC (`AimcArrayUnit.get_adc_cost`), fitted to three 28 nm
    macros.

    Args:
        slope, offset: of the fit, at `node_nm`; the area goes with its square. scale: multiplies all.
    """
    area = 10.0 ** (offset - slope * design.adc_bits) * 2.0**design.adc_bits * 1e-12
    return scale * area * factor("area", design.node_nm, design.supply_v, node_nm, design.supply_v)


MEMBER = Law(sar_converter_area, "area")
