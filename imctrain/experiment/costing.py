"""What an experiment's training costs, from its config alone: nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from imctrain.cost.operations import count_operations
from imctrain.cost.step import ChipPrices, MeasuredDrives, Part, Step, StepCost, step_cost
from imctrain.data import EXPECTED, Dataset, held_images, load
from imctrain.experiment.from_config import build_hardware, build_rules, calibration_of
from imctrain.experiment.own_sources import sources_of
from imctrain.intercept import Rule, on_imc
from imctrain.own_code import Source
from imctrain.settings import Config, Hardware
from imctrain.technology import load_technology
from imctrain.training.network import Network
from imctrain.training.optimizer import make_optimizer, update
from imctrain.training.step import training_loss

FLOAT_BITS = 32


@dataclass(frozen=True)
class DataShape:
    """shape: (height, width, channels). classes; train_images: that a training uses."""

    shape: tuple[int, int, int]
    classes: int
    train_images: int


@dataclass(frozen=True)
class Training:
    """What a training does: its step, how many of them, and what they are priced on."""

    step: Step
    steps: int
    steps_per_epoch: int
    prices: ChipPrices

    def cost(self, measured: MeasuredDrives | None = None, **other_prices: Any) -> StepCost:
        """Of a step.

        Args:
            measured: codes really driven, by site and MVM. other_prices: fields of `ChipPrices` with other values.
        """
        return step_cost(self.step, replace(self.prices, **other_prices), measured)


def energy_of(config: Config, config_dir: Path | None = None) -> StepCost:
    """What a training step of an experiment costs. Raises UserError."""
    return training_of(config, config_dir).cost()


def data_shape(config: Config, dataset: Dataset | None = None) -> DataShape:
    """Of the data that a config trains on.

    Args:
        dataset: the config's, where it is loaded.

    Raises UserError for data that is neither known nor prepared.
    """
    name = config.data.name
    known = EXPECTED.get(name)
    published = None if known is None else known.images("train")
    if dataset is None and known is not None and published is not None:
        found = DataShape(known.shape, len(known.classes), published)
    else:
        dataset = dataset or load(name, config.data.data_dir)
        found = DataShape(dataset.shape, len(dataset.classes), len(dataset.train))
    images, limit = found.train_images, config.data.train_limit
    if limit is not None:
        images = min(limit, images)
    if config.data.validation is not None:
        images -= held_images(images, config.data.validation)
    return replace(found, train_images=images)


def training_of(config: Config, config_dir: Path | None = None, data: DataShape | None = None) -> Training:
    """Count a training step of an experiment.

    Args:
        data: by default that of the config's data set.

    Raises UserError for a bad technology, calibration, hardware or rule.
    """
    technology = load_technology(config.cost.technology, config_dir)
    data = data or data_shape(config)
    model, sources = config.model, sources_of(config, config_dir)
    network = Network(
        model.name,
        shape=data.shape,
        classes=data.classes,
        width=model.width,
        seed=config.seed,
        abstract=True,
        arguments=model.arguments,
        source=sources.get("model"),
    )
    hardware, rules = _hardware(config, config_dir)
    function = on_imc(network.train_forward, hardware, rules)
    images = jax.ShapeDtypeStruct((config.data.batch_size, *data.shape), jnp.float32)
    steps_per_epoch = max(data.train_images // config.data.batch_size, 1)
    parts = (_loss(config, data.classes), _update(config, network.params, steps_per_epoch, sources.get("optimizer")))
    step = function.step(network.params, network.rest, images)
    step = replace(step, parts=(*step.parts, *parts), images=config.data.batch_size)
    prices = ChipPrices(technology, config.cost.supply_v, hardware.array.macros, split=config.cost.split_vectors)
    return Training(step, config.training.total_steps(steps_per_epoch), steps_per_epoch, prices)


def _hardware(config: Config, config_dir: Path | None) -> tuple[Hardware, Sequence[Rule]]:
    if config.imc.path == "float":
        return Hardware(), (Rule("*", path="float"),)
    return build_hardware(config.imc, calibration_of(config, config_dir)), build_rules(config.imc)


def _loss(config: Config, classes: int) -> Part:
    """Forward and backward of the loss."""
    batch = config.data.batch_size
    logits = jax.ShapeDtypeStruct((batch, classes), jnp.float32)
    labels = jax.ShapeDtypeStruct((batch,), jnp.int32)

    def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return training_loss(logits, labels, config.training.label_smoothing)

    return Part("loss", count_operations(jax.make_jaxpr(jax.value_and_grad(loss))(logits, labels)))


def _update(config: Config, params: PyTree, steps_per_epoch: int, source: Source | None) -> Part:
    """The optimizer on float32 master weights: its arithmetic, and weights and its state read and written once."""
    optimizer = make_optimizer(config.training, steps_per_epoch, source)
    state = jax.eval_shape(optimizer.init, params)

    def change(gradient: PyTree, state: PyTree, params: PyTree, loss: jax.Array) -> PyTree:
        changes, state = update(optimizer, gradient, state, params, loss)
        return jax.tree.map(jnp.add, params, changes), state

    loss = jax.ShapeDtypeStruct((), jnp.float32)
    operations = count_operations(jax.make_jaxpr(change)(params, state, params, loss))
    weights, kept = _elements(params), _elements(state)
    return Part("update", operations, FLOAT_BITS * (3 * weights + 2 * kept))


def _elements(tree: PyTree) -> int:
    """Of the float leaves."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return sum(leaf.size for leaf in leaves)
