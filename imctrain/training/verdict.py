"""What went wrong in a training that came to its end: said in a line each, from its metrics.

The limits are this project's decision. None of it is an error: the numbers are what the hardware and the recipe give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from imctrain.training.stored import JsonObject

ROSE = 1.5
"""The loss rose if it ended at so many times its lowest (and by a twentieth of a guess's loss at least) ..."""
ABOVE = 1.1
"""... or at so many times both its start and the loss of guessing."""
FAR, SPREADS = 0.1, 4.0
"""Accuracy fell if it ended so far below its best, and at least so many standard deviations of the test's sampling."""


def verdict(records: Sequence[JsonObject], *, classes: int, chance: float, test_images: int, remedy: str) -> list[str]:
    """What is wrong with the end of a training; empty where nothing is.

    Args:
        records: of metrics.jsonl. classes: of the data; guessing has a loss of log(classes).
        chance: accuracy of the best constant answer, the share of the largest class.
        test_images: how many images an epoch is judged by.
        remedy: what to do, in words that follow a colon.
    """
    found = [_loss(records, classes), _accuracy(records, chance, test_images)]
    return [f"{text}: {remedy}" for text in found if text is not None]


def _loss(records: Sequence[JsonObject], classes: int) -> str | None:
    lines = [_number(record, "loss") for record in records if record["kind"] == "train"]
    epochs = [_number(record, "loss") for record in records if record["kind"] == "epoch"]
    if not lines or not epochs:
        return None
    # The mean of an epoch is steadier than a line; a single epoch is mostly its own start.
    start, final = lines[0], epochs[-1] if len(epochs) > 1 else lines[-1]
    guessing = math.log(classes)
    if final > ABOVE * max(start, guessing):
        return f"training loss rose from {start:.3g} to {final:.3g}, above that of guessing ({guessing:.3g})"
    lowest = min(epochs)
    if len(epochs) > 1 and final > max(ROSE * lowest, lowest + 0.05 * guessing):
        return f"training loss rose from {lowest:.3g} in epoch {epochs.index(lowest) + 1} to {final:.3g} at the end"
    return None


def _accuracy(records: Sequence[JsonObject], chance: float, test_images: int) -> str | None:
    what = "validation" if any("validation_accuracy" in record for record in records) else "test"
    name = f"{what}_accuracy"
    tests = [(_number(record, name), record["epoch"]) for record in records if name in record]
    if not tests:
        return None
    best, where = max(tests, key=lambda test: test[0])
    last = tests[-1][0]

    def spread(share: float) -> float:
        return SPREADS * math.sqrt(max(share * (1 - share), 0.0) / test_images)

    if best <= chance + spread(chance):
        constant = f"a constant answer has {100 * chance:.1f}%"
        return f"{what} accuracy never left chance: its best is {100 * best:.1f}%, {constant}"
    if best - last > max(FAR, math.hypot(spread(best), spread(last))):
        return (
            f"{what} accuracy ended at {100 * last:.1f}%, {100 * (best - last):.1f} points below its best "
            f"({100 * best:.1f}% in epoch {where})"
        )
    return None


def _number(record: JsonObject, key: str) -> float:
    """A value of a record; what was not finite is null there, and as bad as can be."""
    value = record.get(key)
    return math.inf if value is None else float(value)
