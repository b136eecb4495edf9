"""What a training would cost, known from its config: before it is trained, so that a dear one need not be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imctrain.settings import Config

EnergyOf = Callable[[Config, Path], float | None]
"""(config, folder that its calibration is relative to) -> energy of a training step, J; None where none is counted.
Raises UserError for hardware that a site of the network refuses."""


def energy_of(config: Config, config_dir: Path) -> float | None:
    """Energy of a training step by the technology of `config.cost`, J.

    Sites are traced in this process, on its CPU: the GPUs are the trials'.
    """
    import jax

    from imctrain.experiment import costing

    jax.config.update("jax_platforms", "cpu")
    return costing.energy_of(config, config_dir).energy_step_j


def steps_of(config: Config) -> int:
    """Steps of a whole training."""
    from imctrain.experiment.costing import data_shape

    return config.training.total_steps(data_shape(config).train_images // config.data.batch_size)
