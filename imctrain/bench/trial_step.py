"""How long a training step of an experiment takes on this machine: what an estimate of a sweep counts with."""

from __future__ import annotations

import time
from pathlib import Path

import jax
import numpy as np

from imctrain.experiment.setup import set_up
from imctrain.settings import Config
from imctrain.studies.inspect import data_of
from imctrain.training.loop import make_batches

REPEATS = 5


def time_step(config: Config, config_dir: Path | None = None, repeats: int = REPEATS) -> tuple[float, float]:
    """(seconds of a step, seconds of its compilation): the median of some steps after the first one.

    Random images stand for data that are not prepared but known. Raises UserError as a training does.
    """
    dataset, _ = data_of(config)
    steps = set_up(config, dataset, config_dir).steps
    train, *_ = make_batches(config, dataset)
    batch, state = train.batch(0, 0), steps.initial
    start = time.perf_counter()
    # The step gives its state back in the same memory: each call needs the newest one.
    state, _metrics = jax.block_until_ready(steps.train(state, batch.images, batch.labels))
    first = time.perf_counter() - start
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        state, _metrics = jax.block_until_ready(steps.train(state, batch.images, batch.labels))
        taken.append(time.perf_counter() - start)
    step = float(np.median(taken))
    return step, max(0.0, first - step)
