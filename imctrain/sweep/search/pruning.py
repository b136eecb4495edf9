"""Which trials are stopped before their end.

Where accuracy is the only objective, Optuna's median rule decides. Optuna has no pruning of two objectives, and none by
accuracy where energy is the objective. There the rule is this project's own: a trial is stopped whose best accuracy so
far is below the median, at the same epoch, of the finished trials that cost no more. Such a trial buys less for more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

WARMUP = 0.25
"""Of its epochs, a trial is left alone (our decision)."""


class Peer(NamedTuple):
    """A finished trial: energy of its training, J, and accuracy after each evaluation."""

    energy: float
    curve: tuple[float, ...]


def warmup_of(epochs: int, eval_every: int = 1) -> int:
    """Evaluations that a trial is left alone for."""
    return math.ceil(WARMUP * epochs / eval_every)


def buys_less(curve: Sequence[float], energy: float, peers: Sequence[Peer], startup: int, warmup: int) -> bool:
    """Whether a trial falls behind those that cost no more.

    Args:
        curve: its accuracies so far, one an evaluation. energy: of its training, J.
        peers: finished trials. startup: how many of them must cost no more. warmup: evaluations before any verdict.
    """
    reached = len(curve)
    if reached <= warmup:
        return False
    cheaper = [peer.curve[reached - 1] for peer in peers if peer.energy <= energy and len(peer.curve) >= reached]
    return len(cheaper) >= startup and max(curve) < float(np.median(cheaper))
