"""Stops a training that diverged, and says where it began and what is still good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import PyTree

from imctrain.training.checkpoint import Checkpoints
from imctrain.training.divergence import Diverged, find
from imctrain.training.step import Metrics


@dataclass(frozen=True)
class Guard:
    """Judges steps, and parameters before they are saved.

    Attributes:
        parameters: `leaf_names` of the network. sites: simulated ones in program order. classes: of the data.
        rate: the learning rate. checkpoints: of the run.
    """

    parameters: Sequence[str]
    sites: Sequence[str]
    classes: int
    rate: float
    checkpoints: Checkpoints

    def check_steps(self, steps: Sequence[Metrics], done: int) -> None:
        """Raises Diverged for the first of the newest steps, on the host, that went wrong; `done`: steps in all."""
        for step, metrics in enumerate(steps, done - len(steps) + 1):
            loss = float(metrics["loss"])
            health = metrics["health"]
            where = find(health, loss, classes=self.classes, parameters=self.parameters, sites=self.sites)
            if where is not None:
                raise self._diverged(step, f"loss {loss:.4g}, {where}")

    def check_parameters(self, params: PyTree, done: int) -> None:
        """Raises Diverged where a parameter, on the host, is not finite after `done` steps."""
        for name, leaf in zip(self.parameters, jax.tree.leaves(params), strict=True):
            if not np.all(np.isfinite(leaf)):
                raise self._diverged(done, f"parameter {name} is not finite")

    def _diverged(self, step: int, what: str) -> Diverged:
        latest, where = self.checkpoints.latest, self.checkpoints.folder
        good = f"the last good checkpoint is step {latest} in {where}" if latest is not None else "no checkpoint yet"
        return Diverged(
            f"training diverged at step {step}: {what}; {good}; start again with a training.learning_rate below "
            f"{self.rate:g}, or with training.clip_norm"
        )
