"""What a training would cost, known from its config: before it is trained, so that a dear one need not be."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from imctrain.settings import Config

EnergyOf = Callable[[Config, Path], float | None]
"""(config, folder that its calibration is relative to) -> energy of a training step, J; None where none is counted.
Raises UserError for hardware that a site of the network refuses."""
COSTING = "imctrain.experiment.costing"


def energy_of(config: Config, config_dir: Path) -> float | None:
    """Energy of a training step by the technology of `config.cost`, J; None where this version counts none.

    Sites are traced in this process, on its CPU: the GPUs are the trials'.
    """
    if importlib.util.find_spec(COSTING) is None:
        return None
    import jax

    jax.config.update("jax_platforms", "cpu")
    cost = importlib.import_module(COSTING).energy_of(config, config_dir)
    return float(cost.energy_step_j)


def steps_of(config: Config) -> int:
    """Steps of a whole training."""
    data = config.data
    images = _training_images(data.name, data.data_dir, data.train_limit, data.validation)
    return config.training.total_steps(images // data.batch_size)


@lru_cache(maxsize=32)
def _training_images(name: str, data_dir: str | None, train_limit: int | None, validation: float | None) -> int:
    from imctrain.data import load, parts_of

    return len(parts_of(load(name, data_dir), train_limit=train_limit, validation=validation).train)
