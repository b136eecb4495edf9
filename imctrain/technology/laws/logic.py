"""Energy of digital logic by its gates."""

from __future__ import annotations

from imctrain.technology.design import Design
from imctrain.technology.laws.base import Law


def logic(
    design: Design,
    *,
    full_adders: float = 0.0,
    flip_flops: float = 0.0,
    xors: float = 0.0,
    nands: float = 0.0,
    nand_f: float = 0.7e-15,
    node_nm: float = 28.0,
    scale: float = 1.0,
) -> float:
    """`nand_f ((3 + 2 x 1.5) full_adders + 3 flip_flops + 1.5 xors + nands) V^2`, J. ZigZag-IMC (`imc_unit.LogicUnit`):
    a full adder is 3 NAND and 2 XOR gates, an XOR 1.5 and a flip-flop 3 NAND gates of 0.7 fF, each of which switches.

    Wires, clock tree and glitches are not in it: the digital datapath of the 65 nm chip of Jia et al. takes 4.5 to 5
    times what `laws-28nm` counts for the same work in gates.

    Args:
        nand_f: F at `node_nm`; it goes with the node. scale: multiplies all.
    """
    gates = 6.0 * full_adders + 3.0 * flip_flops + 1.5 * xors + nands
    return scale * gates * nand_f * design.node_nm / node_nm * design.supply_v**2


MEMBER = Law(logic, "energy")
