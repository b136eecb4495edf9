"""Energy of a cell that shares charge."""

from __future__ import annotations

from imctrain.errors import UserError
from imctrain.technology.design import Design
from imctrain.technology.laws.base import Law


def charge_array(
    design: Design,
    *,
    multiplier_f: float = 0.35e-15,
    bitline_f: float = 0.35e-15,
    node_nm: float = 28.0,
    noise_power: float = 0.0,
    noise_lsb: float = 0.25,
    scale: float = 1.0,
) -> float:
    """`(multiplier_f + bitline_f) V^2`, J a cell. ZigZag-IMC (`imc_unit.LogicUnit`): half a NAND gate of 0.7 fF for the
    multiplier, half of one for the bit line, both switching in every conversion.

    An XNOR cell switches with its data in either half of them, an AND cell where code and bit are not 0: the figure is
    that of a cell that switches always, for both.

    Less noise before the converter has no sourced price. `noise_power` p asks for one: the energy is multiplied by
    (noise_lsb / sigma_array)^p. p = 0 holds the noise fixed, p = 2 is that of kT/C; a front between noise levels shows
    the band of both (this project's decision).

    Args:
        multiplier_f, bitline_f: F at `node_nm`; they go with the node. noise_lsb: at which the energy is the law's.
        scale: multiplies all.

    Raises:
        UserError: a price is asked for noise that is not known.
    """
    energy = scale * (multiplier_f + bitline_f) * design.node_nm / node_nm * design.supply_v**2
    if noise_power == 0:
        return energy
    if design.sigma_array_lsb == 0:
        raise UserError(
            "charge_array.noise_power needs the noise before the converter: sigma_array_lsb is 0, not known"
        )
    return energy * (noise_lsb / design.sigma_array_lsb) ** noise_power


MEMBER = Law(charge_array, "energy")
