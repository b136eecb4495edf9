"""What the laws of a technology are evaluated at: node, supply, array, converter and noise of one macro."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from imctrain import limits
from imctrain.errors import UserError
from imctrain.limits import Bounds

LINES = Bounds(1, 65536)
BITS = Bounds(1, 24)


@dataclass(frozen=True)
class Design:
    """One macro.

    Attributes:
        node_nm: of the process, nm. supply_v: V. rows: that share charge on a column. columns: of the macro.
        adc_bits: B. input_bits: b, of the row drivers. cell: what a cell multiplies.
        sigma_adc_lsb: noise of the converter, LSB at R = 1; 0 where it is not known or not modelled.
        sigma_array_lsb: noise that is there before the converter, LSB at R = 1; 0 likewise.

    Raises:
        UserError: a figure that no macro has, in one line.
    """

    node_nm: float
    supply_v: float
    rows: int
    columns: int
    adc_bits: int
    input_bits: int
    cell: Literal["and", "xnor"] = "and"
    sigma_adc_lsb: float = 0.0
    sigma_array_lsb: float = 0.0

    def __post_init__(self) -> None:
        noise = limits.noise_lsb(24)
        bounds = {"node_nm": limits.NODE_NM, "supply_v": limits.SUPPLY_V, "rows": LINES, "columns": LINES}
        bounds |= {"adc_bits": BITS, "input_bits": BITS, "sigma_adc_lsb": noise, "sigma_array_lsb": noise}
        for name, allowed in bounds.items():
            value = getattr(self, name)
            if not allowed.hold(value):
                raise UserError(f"{name} = {value:g} is not possible: allowed is {allowed}")
        if self.cell not in ("and", "xnor"):
            raise UserError(f"cell = {self.cell!r} is not possible: allowed is 'and' or 'xnor'")
