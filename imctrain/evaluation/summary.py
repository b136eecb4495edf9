"""Accuracies of dies and repeats as a few numbers, with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from imctrain.calibration import Calibration
from imctrain.calibration.schema.die_spread import LEVELS, measured_dies, spread_at
from imctrain.errors import UserError
from imctrain.evaluation.overrides import SPREAD
from imctrain.intervals import wilson
from imctrain.records.evaluation import AtCondition, AtSpread, DieResult, Evaluation, Summary, Yield

BELOW = (2.0, 10.0)
"""Percentage points below a reference at which yields are told: the paper's two."""
TRAINING_DIE, BASELINE = "training die", "float baseline"


class Levels(NamedTuple):
    """Accuracies at which yields are told.

    Attributes:
        below: percentage points below the training die, and below the float baseline. accuracies: fractions.
    """

    below: tuple[float, ...] = BELOW
    accuracies: tuple[float, ...] = ()


USUAL = Levels()


def checked_levels(below: Sequence[float], percent: Sequence[float]) -> Levels:
    """Levels as users give them. Raises UserError for what no accuracy can be."""
    for option, given in (("--below", below), ("--accuracy", percent)):
        wrong = next((value for value in given if not 0.0 <= value <= 100.0), None)
        if wrong is not None:
            raise UserError(f"{option} {wrong:g} is not possible: allowed is 0 to 100, in percentage points")
    return Levels(tuple(dict.fromkeys(below)) or BELOW, tuple(dict.fromkeys(value / 100 for value in percent)))


def summarise(dies: Sequence[DieResult], baseline: float | None, levels: Levels = USUAL) -> Summary:
    """Of the dies of an evaluation; baseline: accuracy of the float baseline."""
    dies = [die for die in dies if not die.conditions and not die.die_spread]
    own = next((die.accuracy for die in dies if die.own), None)
    tested = _tested(dies)
    spread = _spread(tested)
    std = spread["std"]
    known = own is not None and len(tested) > 0
    return Summary(
        own_accuracy=own,
        test_dies=len(tested),
        mean=spread["mean"],
        std=std,
        lowest=spread["lowest"],
        highest=spread["highest"],
        noise_std=_noise(dies),
        belongs_to_die=own - float(tested.mean()) if known and own is not None else None,
        belongs_to_die_error=std / math.sqrt(len(tested)) if known and std is not None else None,
        yields=_yields(tested, own, baseline, levels),
    )


def at_conditions(dies: Sequence[DieResult]) -> list[AtCondition]:
    """What all chips do at each condition that is not the evaluation's own."""
    groups: dict[tuple[tuple[str, float], ...], list[DieResult]] = {}
    for die in dies:
        if die.conditions:
            groups.setdefault(tuple(sorted(die.conditions.items())), []).append(die)
    return [_at_condition(dict(condition), group) for condition, group in groups.items()]


def at_spread(
    dies: Sequence[DieResult], baseline: float | None, levels: Levels, calibration: Calibration
) -> list[AtSpread]:
    """What the test dies do at the low, the value and the high of the spread of dies; empty where none were drawn so.

    All accuracies that yields ask for are those of the dies' value: what a die needs does not change with the spread.
    """
    # At its value stand the dies that were drawn at its ends too: not the calibration's own.
    both = [_without_level(die) for die in dies if die.die_spread]
    if not both:
        return []
    own = next((die.accuracy for die in dies if die.own and not die.conditions), None)
    found = []
    for level in LEVELS:
        drawn = None if level == "value" else level
        at_level = [die for die in dies if not die.conditions and die.die_spread == drawn]
        tested = _tested([die for die in at_level if _without_level(die) in both])
        of = spread_at(calibration, level)
        if of is None or not len(tested):
            continue
        found.append(
            AtSpread(
                level=level,
                gain_std=of.gain_std,
                offset_std_lsb=of.offset_std_lsb,
                sigma_std_lsb=of.sigma_std_lsb,
                measured_dies=measured_dies(calibration),
                test_dies=len(tested),
                **_spread(tested),
                yields=_yields(tested, own, baseline, levels),
            )
        )
    return found


def _without_level(die: DieResult) -> dict[str, object]:
    """What makes a die, at whatever end of the spread."""
    return {key: value for key, value in die.overrides.items() if key != SPREAD}


def summarised(found: Evaluation, levels: Levels, calibration: Calibration | None) -> Evaluation:
    """An evaluation with all that its dies tell."""
    changes: dict[str, object] = {
        "summary": summarise(found.dies, found.baseline_accuracy, levels).plain(),
        "at_conditions": [one.plain() for one in at_conditions(found.dies)],
    }
    if calibration is not None:
        spread = at_spread(found.dies, found.baseline_accuracy, levels, calibration)
        changes |= {"at_spread": [one.plain() for one in spread]} if spread or found.at_spread else {}
    return found.replace(**changes)


def _at_condition(condition: dict[str, float], dies: Sequence[DieResult]) -> AtCondition:
    tested = _tested(dies)
    return AtCondition(
        conditions=condition,
        own_accuracy=next((die.accuracy for die in dies if die.own), None),
        test_dies=len(tested),
        **_spread(tested),
    )


def _tested(dies: Sequence[DieResult]) -> np.ndarray:
    return np.asarray([die.accuracy for die in dies if not die.own])


def _spread(tested: np.ndarray) -> Mapping[str, float | None]:
    """mean, std (n - 1), lowest and highest; each None where there are too few."""
    some, several = len(tested) > 0, len(tested) > 1
    return {
        "mean": float(tested.mean()) if some else None,
        "std": float(tested.std(ddof=1)) if several else None,
        "lowest": float(tested.min()) if some else None,
        "highest": float(tested.max()) if some else None,
    }


def _yields(tested: np.ndarray, own: float | None, baseline: float | None, levels: Levels) -> tuple[Yield, ...]:
    if not len(tested):
        return ()
    relative = [
        yield_of(tested, name, accuracy, points)
        for name, accuracy in ((TRAINING_DIE, own), (BASELINE, baseline))
        if accuracy is not None
        for points in levels.below
    ]
    return (*relative, *(yield_at(tested, accuracy) for accuracy in levels.accuracies))


def yield_of(accuracies: np.ndarray, below: str, reference: float, points: float) -> Yield:
    """Share of dies at most `points` below a reference accuracy, with its Wilson interval."""
    return yield_at(accuracies, reference - points / 100, below, points)


def yield_at(accuracies: np.ndarray, needed: float, below: str | None = None, points: float | None = None) -> Yield:
    """Share of dies of an accuracy or more, with its Wilson interval; below, points: where the accuracy comes from."""
    # Accuracies are fractions of whole images: what equals the bound but for its last bit is not below it.
    passed = int(np.sum(accuracies >= needed - 1e-9))
    low, high = wilson(passed, len(accuracies))
    return Yield(
        below=below,
        points=points,
        accuracy=needed,
        passed=passed,
        dies=len(accuracies),
        share=passed / len(accuracies),
        low=low,
        high=high,
    )


def _noise(dies: Sequence[DieResult]) -> float | None:
    """Standard deviation over repeats, pooled over dies."""
    variances = [np.var(die.accuracies, ddof=1) for die in dies if len(die.accuracies) > 1]
    return float(np.sqrt(np.mean(variances))) if variances else None
