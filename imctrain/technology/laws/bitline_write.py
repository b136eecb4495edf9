"""Energy of writing a bit: a bit line along all rows of a column, and the cell's share of its word line."""

from __future__ import annotations

from imctrain.technology.design import Design
from imctrain.technology.laws.base import Law


def bitline_write(
    design: Design,
    *,
    bitline_f: float = 0.35e-15,
    wordline_f: float = 0.35e-15,
    switching: float = 0.5,
    node_nm: float = 28.0,
    scale: float = 1.0,
) -> float:
    """`(switching bitline_f rows + wordline_f) V^2`, J a bit. The capacitances are those of ZigZag-IMC
    (`imc_unit.LogicUnit`: half a NAND gate of 0.7 fF a cell); that half of the bit lines change from row to row is this
    project's assumption.

    For 1152 rows, 28 nm and 0.9 V it is 0.16 pJ. CACTI's SRAM of 32 and 64 KiB with words of 256 b takes 0.44 and
    0.74 pJ a bit at 65 nm and 1.1 V (results kept in ZigZag's `cache_old.cfg.out`): 0.13 and 0.21 pJ scaled to there.

    Args:
        bitline_f, wordline_f: F a cell at `node_nm`; they go with the node. scale: multiplies all.
    """
    capacitance = switching * bitline_f * design.rows + wordline_f
    return scale * capacitance * design.node_nm / node_nm * design.supply_v**2


MEMBER = Law(bitline_write, "energy")
