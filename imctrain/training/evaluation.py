"""The trained network on images that it is judged by: every image once, on the hardware of the training."""

from __future__ import annotations

import time

import numpy as np

from imctrain.data import Batches
from imctrain.training.parallel import DataParallel
from imctrain.training.position import Clock
from imctrain.training.signals import Interrupted, StopRequest
from imctrain.training.step import Steps, TrainState


class Evaluation:
    """Evaluates with the compiled steps of a training. judged: the images that epochs are judged by."""

    def __init__(self, steps: Steps, judged: Batches, parallel: DataParallel):
        self._steps, self._judged, self._parallel = steps, judged, parallel
        self._compiled = False

    def run(
        self, state: TrainState, number: int, stop: StopRequest, clock: Clock, batches: Batches | None = None
    ) -> tuple[float, float]:
        """(accuracy, mean loss) on every image of `batches` once; by default of those that epochs are judged by.

        Args:
            number: the epoch: each evaluation has noise of its own, and the chip as it then is.

        Raises Interrupted on a signal.
        """
        correct = losses = 0.0
        batches = batches or self._judged
        evaluate = self._steps.at(number).evaluate
        for index, batch in enumerate(batches.epoch(0)):
            images, labels, mask = self._parallel.batch(batch.images, batch.labels, batch.mask)
            before = time.monotonic()
            call = np.int32(number * self._judged.steps_per_epoch + index)
            c, l = evaluate(state.params, state.rest, state.sites, images, labels, mask, call)
            correct, losses = correct + float(c), losses + float(l)
            if not self._compiled:
                clock.compiled(before)
                self._compiled = True
            if stop.number is not None:
                raise Interrupted(stop.number)
        return correct / len(batches.split), losses / len(batches.split)
