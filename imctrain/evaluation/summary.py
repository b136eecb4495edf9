"""Accuracies of dies and repeats as a few numbers, with their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from imctrain.intervals import wilson
from imctrain.records.evaluation import AtCondition, DieResult, Summary, Yield

BELOW = (2.0, 10.0)
"""Percentage points below a reference at which yields are told: the paper's two."""


def summarise(dies: Sequence[DieResult], baseline: float | None) -> Summary:
    """Of the dies of an evaluation; baseline: accuracy of the float baseline."""
    dies = [die for die in dies if not die.conditions]
    own = next((die.accuracy for die in dies if die.own), None)
    tested = np.asarray([die.accuracy for die in dies if not die.own])
    several = len(tested) > 1
    std = float(tested.std(ddof=1)) if several else None
    references = {"training die": own, "float baseline": baseline}
    yields = [
        yield_of(tested, name, accuracy, points)
        for name, accuracy in references.items()
        if accuracy is not None and len(tested)
        for points in BELOW
    ]
    known = own is not None and len(tested) > 0
    return Summary(
        own_accuracy=own,
        test_dies=len(tested),
        mean=float(tested.mean()) if len(tested) else None,
        std=std,
        lowest=float(tested.min()) if len(tested) else None,
        highest=float(tested.max()) if len(tested) else None,
        noise_std=_noise(dies),
        belongs_to_die=own - float(tested.mean()) if known and own is not None else None,
        belongs_to_die_error=std / math.sqrt(len(tested)) if known and std is not None else None,
        yields=tuple(yields),
    )


def at_conditions(dies: Sequence[DieResult]) -> list[AtCondition]:
    """What all chips do at each condition that is not the evaluation's own."""
    groups: dict[tuple[tuple[str, float], ...], list[DieResult]] = {}
    for die in dies:
        if die.conditions:
            groups.setdefault(tuple(sorted(die.conditions.items())), []).append(die)
    return [_at_condition(dict(condition), group) for condition, group in groups.items()]


def _at_condition(condition: dict[str, float], dies: Sequence[DieResult]) -> AtCondition:
    tested = np.asarray([die.accuracy for die in dies if not die.own])
    return AtCondition(
        conditions=condition,
        own_accuracy=next((die.accuracy for die in dies if die.own), None),
        test_dies=len(tested),
        mean=float(tested.mean()) if len(tested) else None,
        std=float(tested.std(ddof=1)) if len(tested) > 1 else None,
        lowest=float(tested.min()) if len(tested) else None,
        highest=float(tested.max()) if len(tested) else None,
    )


def yield_of(accuracies: np.ndarray, below: str, reference: float, points: float) -> Yield:
    """Share of dies at most `points` below a reference accuracy, with its Wilson interval."""
    needed = reference - points / 100
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
