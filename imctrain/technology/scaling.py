"""From one node and supply to another. One rule for each kind of figure; what was scaled is derived (ours).

Energy goes with node and with the square of the supply: capacitance per gate falls with its length. The published fit
to circuit simulations (Stillmaker and Baas, Integration 58, 2017, Table 5) gives, at 0.9 V, 0.65 from 45 to 32 nm
where this rule gives 0.71, and 1.36 and 3.01 from 45 nm, 0.9 V to 65 nm at 0.85 and 1.2 V where it gives 1.29 and 2.57
(tests/technology/test_scaling.py). Below 28 nm the rule is too dear: 0.44 against 0.29 from 45 to 20 nm.

Time goes with node, and with supply to the power -2.66, as the 65 nm chip of Jia et al. does between its two supplies
(1.35 us at 0.85 V, 540 ns at 1.2 V). Area goes with the square of the node. Leakage goes with node and supply.
"""

from __future__ import annotations

from typing import Literal

Dimension = Literal["energy", "time", "rate", "area", "power"]
SPEED = 2.66
"""log(1350 / 540) / log(1.2 / 0.85)."""


def factor(dimension: Dimension, node_nm: float, supply_v: float, from_node_nm: float, from_supply_v: float) -> float:
    """What a figure at `from_node_nm` and `from_supply_v` is multiplied by."""
    node, supply = node_nm / from_node_nm, supply_v / from_supply_v
    if dimension == "energy":
        return node * supply**2
    if dimension == "time":
        return node * supply**-SPEED
    if dimension == "rate":
        return supply**SPEED / node
    if dimension == "area":
        return node**2
    return node * supply
