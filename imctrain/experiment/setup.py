"""From a config to everything a run needs: data, network, hardware, compiled steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp

from imctrain.calibration import Calibration
from imctrain.calibration.variation import lacks_spread
from imctrain.data import Dataset
from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of
from imctrain.experiment.initial import Initial
from imctrain.experiment.own_sources import sources_of
from imctrain.imc.forecast.advice import Problem, find_problems
from imctrain.intercept import Ledger, Rule
from imctrain.own_code import Source
from imctrain.records.result import InitialNetwork
from imctrain.settings import Config, Hardware
from imctrain.training.loop import make_batches
from imctrain.training.network import Network
from imctrain.training.optimizer import check_optimizer, make_optimizer
from imctrain.training.step import Steps, make_steps


@dataclass(frozen=True)
class Setup:
    """What a config becomes. hardware, calibration and ledger are None on the float path.

    Attributes:
        notes: what the calibration does not know of the chip that is asked for, a line each.
        sources: code that the config names, by what it is.
        initial: what the training starts from, and init what is told of it; None where weights are drawn.
    """

    network: Network
    steps: Steps
    hardware: Hardware | None
    calibration: Calibration | None
    ledger: Ledger | None
    notes: tuple[str, ...] = ()
    initial: Initial | None = None
    init: InitialNetwork | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)

    @cached_property
    def problems(self) -> list[Problem]:
        """What cannot work on the hardware; empty in float training. Predicted once: seconds for a deep network."""
        if self.ledger is None:
            return []
        return find_problems({entry.name: entry.site for entry in self.ledger.sites if entry.site is not None})


def set_up(config: Config, dataset: Dataset, config_dir: Path | None = None, initial: Initial | None = None) -> Setup:
    """Build network and steps. Raises UserError for a bad calibration, hardware, rule, batch size or own code, and for
    an `initial` network that does not fit."""
    sources = sources_of(config, config_dir)
    network = Network(
        config.model.name,
        shape=dataset.shape,
        classes=len(dataset.classes),
        width=config.model.width,
        seed=config.seed,
        arguments=config.model.arguments,
        source=sources.get("model"),
    )
    calibration = hardware = None
    rules: tuple[Rule, ...] = ()
    later: list[tuple[int, Hardware]] = []
    notes: tuple[str, ...] = ()
    if config.imc.path != "float":
        calibration = calibration_of(config, config_dir)
        hardware, *others = (
            build_hardware(config.imc, calibration, epoch).replace(count_codes=config.cost.value_aware)
            for epoch in config.imc.conditions.epochs
        )
        later = list(zip(config.imc.conditions.epochs[1:], others, strict=True))
        rules = build_rules(config.imc)
        told = lacks_spread(calibration, config.imc.chip.die)
        notes = () if told is None else (f"imc.chip.{told}",)
    images = jax.ShapeDtypeStruct((config.data.batch_size, *dataset.shape), jnp.float32)
    train, *_ = make_batches(config, dataset)
    optimizer = make_optimizer(config.training, train.steps_per_epoch, sources.get("optimizer"))
    if "optimizer" in sources:
        check_optimizer(optimizer, network.params, sources["optimizer"])
    steps = make_steps(
        network,
        optimizer,
        images=images,
        seed=config.seed,
        label_smoothing=config.training.label_smoothing,
        hardware=hardware,
        rules=rules,
        eval_images=jax.ShapeDtypeStruct((config.data.eval_batch_size, *dataset.shape), jnp.float32),
        later=later,
        read_offsets_again=config.imc.conditions.offset_readings == "at every change",
    )
    ledger = None
    if steps.function is not None:
        ledger = steps.function.ledger(network.params, network.rest, images)
    init = None
    if initial is not None:
        steps, init = initial.start(steps, network)
    return Setup(network, steps, hardware, calibration, ledger, notes, initial, init, sources)
