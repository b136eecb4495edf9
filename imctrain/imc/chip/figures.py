"""A chip as data: what differs from die to die and from one noise level to the next, as arrays.

Compiled functions take it as an argument. So another sigma, another draw of columns or another calibration of the same
structure costs no compilation, and `jax.vmap` runs over dies. What decides structure stays in `Hardware`: rows, bits,
paths, whether there is noise, mismatch or INL at all, and where the INL has its knots.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.errors import UserError
from imctrain.imc.chip.code_widths import code_thresholds
from imctrain.imc.chip.columns import has_pattern, macro_corrections, macro_curves, macro_errors, macro_noise
from imctrain.imc.chip.gain_readings import has_multipliers, macro_multipliers
from imctrain.imc.chip.spares import columns_in_use
from imctrain.settings import Hardware


class Chip(NamedTuple):
    """Figures of a chip as one hardware uses them, float32. Voltages are fractions of full scale.

    Attributes:
        sigma_array: noise before the converter's range, scalar. sigma_adc: noise of the converter in LSB, scalar. Both
            are of what every conversion draws anew.
        gain, offset, correction: of every column of every macro that operands are written to (`spares`), [macros,
            columns]; the correction is what the digital side subtracts. None where all columns are ideal.
        inl: values at the knots of `Hardware.chip`, [knots]; None without INL.
        noise: of every column relative to the sigmas, [macros, columns]; None where all are alike.
        multiplier: what the digital side multiplies readings of every column by, [macros, columns]; None where gains
            are not calibrated.
        curves: what every column deviates from the INL, of each shape (`chip.curves`), [3, macros, columns]; None
            where none does.
        sigma_slow, sigma_common: noise that a column keeps through an MVM and its repeats, and that all columns of a
            pass share, before the range, scalars; None without.
        thresholds: where the converter's codes begin (`Converter.thresholds`), [2**B - 1]; None where all are equally
            wide.
    """

    sigma_array: Array
    sigma_adc: Array
    gain: Array | None = None
    offset: Array | None = None
    correction: Array | None = None
    inl: Array | None = None
    noise: Array | None = None
    multiplier: Array | None = None
    curves: Array | None = None
    sigma_slow: Array | None = None
    sigma_common: Array | None = None
    thresholds: Array | None = None


@functools.cache
def chip_of(hardware: Hardware) -> Chip:
    """The chip that a hardware describes; its columns are drawn by `chip_seed` where they were not measured."""
    with jax.ensure_compile_time_eval():
        lsb = hardware.chip.reference_lsb
        inl = _float32(np.asarray(hardware.chip.inl_lsb) * lsb) if hardware.has_inl else None
        ideal = Chip(_float32(hardware.sigma_array), _float32(hardware.sigma_adc), inl=inl)
        if hardware.has_slow_noise:
            ideal = ideal._replace(sigma_slow=_float32(hardware.sigma_slow))
        if hardware.has_common_noise:
            ideal = ideal._replace(sigma_common=_float32(hardware.sigma_common))
        if hardware.has_dnl:
            ideal = ideal._replace(thresholds=_float32(code_thresholds(hardware)))
        macros = range(hardware.array.macros)
        if hardware.has_column_noise:
            ideal = ideal._replace(noise=_placed([macro_noise(macro, hardware) for macro in macros], hardware))
        if has_multipliers(hardware):
            multipliers = [macro_multipliers(macro, hardware) for macro in macros]
            ideal = ideal._replace(multiplier=_placed(multipliers, hardware))
        if hardware.has_curves:
            shapes = np.moveaxis(np.stack([macro_curves(macro, hardware) for macro in macros]), -1, 0)
            ideal = ideal._replace(curves=jnp.stack([_placed(list(shape), hardware, lsb) for shape in shapes]))
        if not has_pattern(hardware):
            return ideal
        errors = [(*macro_errors(macro, hardware), macro_corrections(macro, hardware)) for macro in macros]
        gain, offset, correction = (list(part) for part in zip(*errors, strict=True))
        return ideal._replace(
            gain=_placed(gain, hardware),
            offset=_placed(offset, hardware, lsb),
            correction=_placed(correction, hardware, lsb),
        )


def require_alike(chip: Chip, hardware: Hardware, where: str) -> None:
    """Raises UserError for a chip that is not of the hardware's structure."""
    described = chip_of(hardware)
    if [part is None for part in described] != [part is None for part in chip]:
        raise UserError(
            f"{where}: its chip has other parts than the hardware (noise, mismatch or INL on one side only): make it "
            "with on_array.chip of a hardware with the same parts"
        )
    for name, wanted, given in zip(Chip._fields, described, chip, strict=True):
        if wanted is not None and given is not None and given.shape != wanted.shape:
            raise UserError(
                f"{where}: {name} of its chip has shape {given.shape}, the hardware has {wanted.shape}: make it with "
                "on_array.chip, and give one die a call (jax.vmap for several)"
            )


def _placed(values: list[np.ndarray], hardware: Hardware, unit: float = 1.0) -> Array:
    """A figure of all physical columns of each macro on those that operands are written to, [macros, usable]."""
    return _float32(np.stack([x[columns_in_use(macro, hardware)] * unit for macro, x in enumerate(values)]))


def _float32(value: object) -> Array:
    return jnp.asarray(value, jnp.float32)
