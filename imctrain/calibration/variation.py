"""Dies, columns and conditions: the formulas that the simulator and the virtual chip share.

    gain    = (mean + die + std eps1) (1 + x gain_per_unit)
    offset  =  mean + die + std eps2  + x offset_per_unit
    sigma   =  chip's * die * median exp(std eps3) * exp(x sigma_per_unit)
    inl     =  chip's + rms sum over l of eps_l sqrt(2 l + 1) P_l(u) / sqrt(3),   l = 2, 3, 4

in LSB at R = 1; x are degrees Celsius or volts off the reference, of temperature and of supply one after the other.
P_l are Legendre polynomials of u, which goes from -1 to 1 over the inputs v of the calibrated converter and stays there
beyond them. So a column's curve has neither gain nor offset, and its mean square over v and over columns is rms^2.

`mean` and `std` are those of the columns, `die` is the deviation of the die: 0 for the calibrated one,
that of its measured means for a die by name, a draw from `die_spread` for a die by number. eps are standard normal, one
for each column, drawn by a seed, the macro and the die. So a die by number has the same deviation whatever the seed of
the columns is, and columns of its own. This project's decisions; the slopes are those of `schema.Dependence`.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from imctrain import limits
from imctrain.calibration.arrays import Floats
from imctrain.calibration.schema import Calibration, Column, Dependence, SpreadLevel
from imctrain.calibration.schema.die_spread import spread_at
from imctrain.calibration.schema.typical import column_mean, die_mean, typical_columns
from imctrain.errors import UserError

_OWN_COLUMNS, _DEVIATION, _NOISE, _CURVES = 2, 3, 4, 5
"""Purposes of seeds; 1 is that of offset readings (`imc.chip.columns`)."""
_SAME = 1e-5
"""Means are kept with six digits."""
FEWEST_COLUMNS = 8
"""Columns with a sigma of their own from which its spread is told; with fewer, the others have the chip's sigma."""
CURVE_SHAPES: Floats = np.array(
    [
        np.sqrt(5.0) * np.array([-0.5, 0.0, 1.5, 0.0, 0.0]),
        np.sqrt(7.0) * np.array([0.0, -1.5, 0.0, 2.5, 0.0]),
        np.sqrt(9.0) * np.array([0.375, 0.0, -3.75, 0.0, 4.375]),
    ]
)
"""sqrt(2 l + 1) P_l for l = 2, 3, 4, by powers of u from 0 to 4: mean square 1 and no line over [-1, 1]."""
_INTERVAL = 1.96
"""Standard errors from an estimate to the end of its 95 % interval."""
_LEAST_GAIN = 0.01
"""Of a drawn die: where the spread is wide, a Gaussian draws gains that are none."""


class Population(NamedTuple):
    """What the columns of a die are drawn from.

    Attributes:
        gain, gain_std: mean (1 nominal) and standard deviation. offset_lsb, offset_std_lsb: in LSB at R = 1.
        noise, noise_std: median of a column's sigma relative to its die's, and standard deviation of its logarithm.
        draw: tells the columns of dies apart; 0 for the calibrated die.
        inl_rms_lsb: of what a column's INL deviates from the chip's.
    """

    gain: float
    gain_std: float
    offset_lsb: float
    offset_std_lsb: float
    noise: float = 1.0
    noise_std: float = 0.0
    draw: int = 0
    inl_rms_lsb: float = 0.0


class ListedColumn(NamedTuple):
    """A measured column: gain, offset in LSB at R = 1, and its sigma relative to its die's."""

    column: int
    gain: float
    offset_lsb: float
    noise: float


class DieFigures(NamedTuple):
    """A die as the calibration has it, at the reference condition.

    Attributes:
        noise: its sigma relative to the calibration's. columns: those that were measured.
    """

    population: Population
    noise: float
    columns: tuple[ListedColumn, ...]


class Change(NamedTuple):
    """What a condition does: gain times `gain`, offset plus `offset_lsb`, sigma times `noise`; numbers or arrays."""

    gain: float | Floats
    offset_lsb: float | Floats
    noise: float | Floats


def change(known: Dependence, at: float | Floats) -> Change:
    """Of a temperature or a supply."""
    x = at - known.reference
    return Change(
        1.0 + x * known.gain_per_unit.value,
        x * known.offset_lsb_per_unit.value,
        np.exp(x * known.sigma_per_unit.value),
    )


def drawn_columns(of: Population, seed: int, macro: int, columns: int) -> tuple[Floats, Floats]:
    """gain and offset (LSB at R = 1) of the columns of one macro, all drawn, float64 [columns]."""
    rng = np.random.default_rng([seed, macro, *column_purpose(of.draw)])
    gain = of.gain + of.gain_std * rng.standard_normal(columns)
    offset = of.offset_lsb + of.offset_std_lsb * rng.standard_normal(columns)
    return gain, offset


def drawn_noise(of: Population, seed: int, macro: int, columns: int) -> Floats:
    """Sigma of the columns of one macro relative to their die's, all drawn, float64 [columns]."""
    rng = np.random.default_rng([seed, macro, _NOISE, *column_purpose(of.draw)])
    return of.noise * np.exp(of.noise_std * rng.standard_normal(columns))


def drawn_curves(of: Population, seed: int, macro: int, columns: int) -> Floats:
    """What the columns of one macro deviate from the INL, all drawn: LSB of each of `CURVE_SHAPES`, [columns, 3]."""
    rng = np.random.default_rng([seed, macro, _CURVES, *column_purpose(of.draw)])
    return of.inl_rms_lsb / np.sqrt(len(CURVE_SHAPES)) * rng.standard_normal((columns, len(CURVE_SHAPES)))


def curves_at(curves: Floats, v: float | Floats, lowest_v: float) -> Floats:
    """Of drawn curves at inputs, LSB.

    Args:
        curves: [..., 3]. v: broadcastable to [...]. lowest_v: of the calibrated converter, -1 or 0; the highest is 1.
    """
    u = np.clip((2.0 * np.asarray(v) - 1.0 - lowest_v) / (1.0 - lowest_v), -1.0, 1.0)
    powers = np.stack([u**k for k in range(CURVE_SHAPES.shape[1])], axis=-1)
    return np.asarray(np.sum(curves * (powers @ CURVE_SHAPES.T), axis=-1))


def column_purpose(draw: int) -> tuple[int, ...]:
    """What the seed of a macro's columns ends with."""
    return (_OWN_COLUMNS, draw) if draw else ()


def die_figures(c: Calibration, die: str | int | None = None, level: SpreadLevel = "value") -> DieFigures:
    """The calibrated die, one by name with its measured figures, or one by number, 1 or more.

    A number without `die_spread` has the calibrated die's figures and columns of its own (`lacks_spread`); with one, a
    number draws the same place in it at its low, its value and its high (`schema.die_spread`).

    Raises UserError for a name that the calibration does not have, and a low or a high that it does not tell.
    """
    found = _figures(c, die, level)
    return found._replace(population=found.population._replace(inl_rms_lsb=_inl_rms(c)))


def _figures(c: Calibration, die: str | int | None, level: SpreadLevel) -> DieFigures:
    if isinstance(die, str):
        return _measured(c, die)
    if die is None:
        mean = column_mean(c)
        noise = _noise_of_columns(c, c.noise.sigma_lsb.value)
        of = Population(mean.gain, c.spread.gain_std, mean.offset_lsb, c.spread.offset_std_lsb, *noise)
        return DieFigures(of, 1.0, _listed(c, c.noise.sigma_lsb.value))
    mean = die_mean(c) if c.dies else column_mean(c)
    of = Population(mean.gain, c.spread.gain_std, mean.offset_lsb, c.spread.offset_std_lsb, *_noise_within(c), die)
    spread = spread_at(c, level)
    if spread is None:
        return DieFigures(of, 1.0, ())
    gain, offset, sigma = np.random.default_rng([die, _DEVIATION]).standard_normal(3).tolist()
    of = of._replace(
        gain=min(max(of.gain + spread.gain_std * gain, _LEAST_GAIN), limits.MEAN_GAIN.high),
        offset_lsb=limits.offset_lsb(c.adc.bits).nearest(of.offset_lsb + spread.offset_std_lsb * offset),
    )
    return DieFigures(of, max(1.0 + _relative(spread.sigma_std_lsb, c) * sigma, 0.0), ())


def lacks_spread(c: Calibration, die: str | int | None) -> str | None:
    """What to say of a die by number that differs in its columns alone; None where it differs as dies do."""
    if not isinstance(die, int) or c.die_spread is not None:
        return None
    several = "measure several dies, with a column `die`, to tell how dies differ"
    if len(c.dies or ()) > 1:
        several = "its dies were not measured alike (fit.warnings): measure them at one temperature and supply"
    return (
        f"die = {die}: calibration {c.name} has no die_spread, so that this die differs from others in the draw of its "
        f"columns alone: {several}"
    )


def listed_die(c: Calibration) -> str | None:
    """The die whose columns the calibration lists: the one with their means. None where it lists none."""
    if not c.columns:
        return None
    mean = column_mean(c)
    for die in c.dies or ():
        near = (abs(die.gain_mean - mean.gain), abs(die.offset_mean_lsb - mean.offset_lsb))
        if near[0] <= _SAME * max(mean.gain, 1.0) and near[1] <= _SAME * max(abs(mean.offset_lsb), 1.0):
            return die.die
    return None


def _measured(c: Calibration, name: str) -> DieFigures:
    names = [die.die for die in c.dies or ()]
    if name not in names:
        known = f"measured are {', '.join(names)}" if names else "it has no dies by name"
        raise UserError(f"chip.die = {name!r} is no die of calibration {c.name}: {known}; a number draws one")
    own = (c.dies or ())[names.index(name)]
    # Its columns are those of the file, or drawn; then they are not the draws of another die.
    listed = listed_die(c) == name
    of = Population(own.gain_mean, own.gain_std, own.offset_mean_lsb, own.offset_std_lsb, *_noise_within(c))
    of = of if listed else of._replace(draw=_number_of(name))
    noise = own.sigma_lsb.value / c.noise.sigma_lsb.value if c.noise.sigma_lsb.value > 0 else 1.0
    return DieFigures(of, noise, _listed(c, own.sigma_lsb.value) if listed else ())


def _inl_rms(c: Calibration) -> float:
    """Of single columns' curves, LSB; 0 where the interval holds 0: such a file does not tell that there are any."""
    found = c.inl.column_rms_lsb
    return found.value if found is not None and found.low > 0 else 0.0


def _listed(c: Calibration, sigma_lsb: float) -> tuple[ListedColumn, ...]:
    """The measured columns; one without a sigma of its own, a dead one among them, has that of its die."""

    def relative(column: Column) -> float:
        return column.sigma_lsb / sigma_lsb if column.sigma_lsb > 0 and sigma_lsb > 0 else 1.0

    return tuple(ListedColumn(x.column, x.gain, x.offset_lsb, relative(x)) for x in c.columns)


def _noise_within(c: Calibration) -> tuple[float, float]:
    """`_noise_of_columns` relative to the die that they are of."""
    name = listed_die(c)
    of = next((die.sigma_lsb.value for die in c.dies or () if die.die == name), c.noise.sigma_lsb.value)
    return _noise_of_columns(c, of)


def _noise_of_columns(c: Calibration, sigma_lsb: float) -> tuple[float, float]:
    """Median of the columns' sigma relative to `sigma_lsb`, and the standard deviation of its logarithm.

    Over the typical columns, what estimating them adds taken off.
    """
    columns = [column for column in typical_columns(c) if column.sigma_lsb > 0]
    if len(columns) < FEWEST_COLUMNS or sigma_lsb <= 0:
        return 1.0, 0.0
    logs = np.log([column.sigma_lsb / sigma_lsb for column in columns])
    estimation = np.mean([_log_variance(column) for column in columns])
    return float(np.exp(logs.mean())), float(np.sqrt(max(logs.var(ddof=1) - estimation, 0.0)))


def _log_variance(column: Column) -> float:
    """Of the estimate of a column's log sigma: from its interval, else from its conversions, else none."""
    if column.sigma_ci_lsb is not None and column.sigma_ci_lsb[0] > 0:
        low, high = column.sigma_ci_lsb
        return float((np.log(high / low) / (2 * _INTERVAL)) ** 2)
    return 0.5 / column.n if column.n > 0 else 0.0


def _number_of(name: str) -> int:
    """Beyond every number that a die may have (`limits.DIE`)."""
    return int(limits.DIE.high) + 1 + zlib.crc32(name.encode())


def _relative(sigma_lsb: float, c: Calibration) -> float:
    """In units of the calibration's sigma; 0 where it has none."""
    return sigma_lsb / c.noise.sigma_lsb.value if c.noise.sigma_lsb.value > 0 else 0.0
