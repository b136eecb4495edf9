"""Energy of driving a row: a DAC of b bits."""

from __future__ import annotations

from imctrain.technology.design import Design
from imctrain.technology.laws.base import Law


def row_driver(design: Design, *, bit_f: float = 50e-15, node_nm: float = 28.0, scale: float = 1.0) -> float:
    """`bit_f b V^2`, J a row and pass. ZigZag-IMC (`AimcArrayUnit.get_dac_cost`): 50 fF a bit, and nothing for
    1-b inputs.

    Nothing for 1-b inputs would flatter bit-serial mappings, so that one bit costs one bit here (this project's
    decision).

    Args:
        bit_f: F at `node_nm`; it goes with the node. scale: multiplies all.
    """
    return scale * bit_f * design.input_bits * design.node_nm / node_nm * design.supply_v**2


MEMBER = Law(row_driver, "energy")
