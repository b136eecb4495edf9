"""From a config to everything a run needs: data, network, hardware, compiled steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp

from imctrain.calibration import Calibration
from imctrain.data import Dataset
from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of
from imctrain.experiment.initial import Initial
from imctrain.intercept import Ledger, Rule
from imctrain.records.result import InitialNetwork
from imctrain.settings import Config, Hardware
from imctrain.training.loop import make_batches
from imctrain.training.network import Network
from imctrain.training.optimizer import make_optimizer
from imctrain.training.step import Steps, make_steps


@dataclass(frozen=True)
class Setup:
    """What a config becomes. hardware, calibration and ledger are None on the float path.

    initial: what the training starts from, and init what is told of it; None where weights are drawn.
    """

    network: Network
    steps: Steps
    hardware: Hardware | None
    calibration: Calibration | None
    ledger: Ledger | None
    initial: Initial | None = None
    init: InitialNetwork | None = None


def set_up(config: Config, dataset: Dataset, config_dir: Path | None = None, initial: Initial | None = None) -> Setup:
    """Build network and steps. Raises UserError for a bad calibration, hardware, rule or batch size, and for an
    `initial` network that does not fit."""
    network = Network(
        config.model.name,
        shape=dataset.shape,
        classes=len(dataset.classes),
        width=config.model.width,
        seed=config.seed,
    )
    calibration = hardware = None
    rules: tuple[Rule, ...] = ()
    if config.imc.path != "float":
        calibration = calibration_of(config, config_dir)
        hardware = build_hardware(config.imc, calibration).replace(count_codes=config.cost.value_aware)
        rules = build_rules(config.imc)
    images = jax.ShapeDtypeStruct((config.data.batch_size, *dataset.shape), jnp.float32)
    train, *_ = make_batches(config, dataset)
    steps = make_steps(
        network,
        make_optimizer(config.training, train.steps_per_epoch),
        images=images,
        seed=config.seed,
        label_smoothing=config.training.label_smoothing,
        hardware=hardware,
        rules=rules,
        eval_images=jax.ShapeDtypeStruct((config.data.eval_batch_size, *dataset.shape), jnp.float32),
    )
    ledger = None
    if steps.function is not None:
        ledger = steps.function.ledger(network.params, network.rest, images)
    init = None
    if initial is not None:
        steps, init = initial.start(steps, network)
    return Setup(network, steps, hardware, calibration, ledger, initial, init)
