"""Time of a pass: driving a column, then successive approximation, fitted to published 28 nm macros."""

from __future__ import annotations

from imctrain.technology.design import Design
from imctrain.technology.laws.base import Law
from imctrain.technology.scaling import factor


def sar_converter_delay(
    design: Design,
    *,
    row_s: float = 6.53e-12,
    fixed_s: float = 0.640e-9,
    conversions: float = 1.0,
    node_nm: float = 28.0,
    supply_v: float = 0.9,
    scale: float = 1.0,
) -> float:
    """`B (row_s rows + fixed_s) conversions`, s. ZigZag-IMC (`AimcArrayUnit.get_adc_cost`): 0.00653 ns a row and
    0.640 ns a bit, fitted to three 28 nm macros, which have 64, 512 and 1024 rows.

    Args:
        row_s, fixed_s: s at `node_nm` and `supply_v`, scaled from there. conversions: of a converter in a pass, one
        after another, where columns share it. scale: multiplies all.
    """
    delay = design.adc_bits * (row_s * design.rows + fixed_s) * conversions
    return scale * delay * factor("time", design.node_nm, design.supply_v, node_nm, supply_v)


MEMBER = Law(sar_converter_delay, "time")
