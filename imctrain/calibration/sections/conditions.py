"""What changes with temperature and supply, and what the conversions do not tell of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from imctrain.calibration.arrays import Floats
from imctrain.calibration.fit.bootstrap import half_width
from imctrain.calibration.fit.design import Confounded, conditions
from imctrain.calibration.schema import Dependence, SignedEstimate
from imctrain.calibration.sections.bounds import rounded, signed
from imctrain.calibration.sections.evidence import Evidence

_HEADERS = {"temperature": "temperature_c", "supply": "vdd_v"}
_PLURALS = {"temperature": "temperatures", "supply": "supplies"}


class _Slope(NamedTuple):
    """A slope +- half, and whether all that is known of it would let a figure double over what was measured."""

    figure: str
    value: float
    half: float
    useless: bool

    @property
    def estimate(self) -> SignedEstimate:
        """0 where the interval is useless: any other number in it would be the draw of an error."""
        told = signed(self.value, self.half)
        return SignedEstimate(value=0.0, low=told.low, high=told.high) if self.useless else told


def dependence_of(e: Evidence, name: Literal["temperature", "supply"]) -> Dependence | None:
    """Change with temperature or supply, where measured and told."""
    for index, condition in enumerate(e.fit.transfer.conditions):
        if condition.name == name:
            gain, offset, sigma = (slope.estimate for slope in _slopes(e, index))
            return Dependence(
                reference=condition.reference,
                lowest=rounded(condition.lowest),
                highest=rounded(condition.highest),
                gain_per_unit=gain,
                offset_lsb_per_unit=offset,
                sigma_per_unit=sigma,
            )
    return None


def _slopes(e: Evidence, index: int) -> tuple[_Slope, _Slope, _Slope]:
    """Of gain, offset and log sigma with the condition at `index`."""
    fit, condition = e.fit, e.fit.transfer.conditions[index]
    k = fit.parameters.inl.size
    half_gain, half_offset = half_width(e.replicates.shared[:, k + 2 * index : k + 2 * index + 2])
    gain, offset = fit.parameters.slopes[2 * index : 2 * index + 2]
    sigma, half_sigma = noise_slopes(e)
    span = condition.highest - condition.lowest

    def slope(figure: str, value: float, half: float, double: float) -> _Slope:
        return _Slope(figure, value, half, half * span > double and abs(value) <= half)

    return (
        slope("gain", float(gain), float(half_gain), 1.0),
        # An offset has no size of its own: what doubles the largest input's code.
        slope("offset", float(offset), float(half_offset), float(fit.transfer.setup.codes_per_v)),
        slope("noise", float(sigma[index]), float(half_sigma[index]), float(np.log(2.0))),
    )


def noise_slopes(e: Evidence) -> tuple[Floats, Floats]:
    """Change of log sigma with each condition, and half its interval, [X] each, from what changes within units.

    The fit shares one noise among dies. Where these were not measured at the same conditions, what their noise differs
    by would pass for a slope. So this is a scoring step from there, with every unit's noise its own.
    """
    fit = e.fit
    transfer = fit.transfer
    if not transfer.conditions:
        return np.zeros(0), np.zeros(0)
    counted = transfer.informative[transfer.unit, None]
    within = counted * (_about(e) - _unit_means(e)[transfer.unit])
    information = within.T @ (fit.own.spread_square[:, None] * within)
    information += 1e-12 * np.eye(len(information))
    step = np.linalg.solve(information, within.T @ fit.own.spread)
    replicates = np.linalg.solve(information, within.T @ e.replicates.log_sigma.T).T
    return fit.noise.slopes + step, np.asarray(half_width(replicates))


def noise_at_reference(e: Evidence) -> Floats:
    """What brings a unit's fitted noise to the reference, [U]: not all units were measured at the same conditions."""
    if not e.fit.transfer.conditions:
        return np.ones(e.fit.transfer.units)
    return np.asarray(np.exp(_unit_means(e) @ (e.fit.noise.slopes - noise_slopes(e)[0])))


def _about(e: Evidence) -> Floats:
    """Conditions of settings about their references, [S, X]."""
    return np.stack([condition.about for condition in e.fit.transfer.conditions], axis=1)


def _unit_means(e: Evidence) -> Floats:
    """Of `_about` over each unit's settings, as these tell of its noise, [U, X]."""
    transfer, weight = e.fit.transfer, e.fit.own.spread_square
    of_units = np.maximum(np.bincount(transfer.unit, weight, transfer.units), 1e-9)
    return np.stack([np.bincount(transfer.unit, weight * x, transfer.units) / of_units for x in _about(e).T], axis=1)


def confounded_of(e: Evidence) -> tuple[Confounded, ...]:
    """Conditions that were not changed on their own."""
    return conditions(e.fit.transfer.histogram, e.fit.transfer.unit)[1]


def dies_compare(e: Evidence) -> bool:
    """Whether dies were measured alike, or what was not alike is known."""
    return all(condition.steady for condition in confounded_of(e))


def untold_of_conditions(e: Evidence) -> list[str]:
    """Notes: of conditions that were not changed on their own, and of slopes of which next to nothing is known."""
    told = []
    found = confounded_of(e)
    for by in ("die", "column"):
        together = [condition for condition in found if condition.by == by]
        if together:
            told.append(_together(by, together))
    for condition in found:
        if condition.by == "temperature":
            dies = "" if condition.steady else " and, as dies differ in vdd_v besides, no die_spread"
            told.append(
                f"temperature and supply were changed together (vdd_v {_span(condition)}): what each of them does "
                "cannot be told apart; `temperature` has what both do together, and the file has no slopes with supply"
                f"{dies}: measure two supplies at one temperature"
            )
    for index, known in enumerate(e.fit.transfer.conditions):
        useless = [slope.figure for slope in _slopes(e, index) if slope.useless]
        if useless:
            told.append(
                f"the change of {' and '.join(useless)} with {known.name} is known so little that it is given as 0, "
                "with its interval: measure more conversions, or conditions changed one at a time"
            )
    return told


def _together(by: str, together: list[Confounded]) -> str:
    """Of conditions that were changed with dies or columns."""
    names = " and ".join(condition.name for condition in together)
    spans = ", ".join(f"{_HEADERS[condition.name]} {_span(condition)}" for condition in together)
    changed = f"{by}{', ' if len(together) > 1 else ' and '}{names} were changed together ({spans})"
    two = ", then at two ".join(_PLURALS[condition.name] for condition in together)
    if by == "column":
        dies = "" if all(condition.steady for condition in together) else ", and no die_spread"
        return (
            f"{changed}: neither the slopes nor how columns differ can be told apart; the file has no slopes with "
            f"{names}{dies}, and the spread of columns holds what {names} does: measure every column at two {two}"
        )
    if all(condition.steady for condition in together):
        return f"{changed}: no dependence on {names} was fitted, and dies are compared as if it were one"
    return (
        f"{changed}: neither the slopes nor how dies differ can be told apart; the file has no slopes with {names} and "
        f"no die_spread, and figures are those at each die's own {names}: measure one die at two {two}"
    )


def _span(condition: Confounded) -> str:
    return f"{condition.lowest:g} to {condition.highest:g}"
