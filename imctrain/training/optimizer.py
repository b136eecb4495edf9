"""The optimizer and its schedule, from the config (optax)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from imctrain.settings import TrainingConfig


def learning_rate(config: TrainingConfig, steps_per_epoch: int) -> optax.Schedule:
    """Step -> learning rate: linear warm-up, then the schedule down to zero (or constant)."""
    total = config.total_steps(steps_per_epoch)
    warmup = min(round(config.warmup_epochs * steps_per_epoch), total - 1)
    after = max(total - warmup, 1)
    peak = config.learning_rate
    schedules = {
        "cosine": optax.cosine_decay_schedule(peak, after),
        "linear": optax.linear_schedule(peak, 0.0, after),
        "constant": optax.constant_schedule(peak),
    }
    main = schedules[config.schedule]
    if warmup == 0:
        return main
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), main], [warmup])


def make_optimizer(config: TrainingConfig, steps_per_epoch: int) -> optax.GradientTransformation:
    """Clipping, decay of matrices and kernels (not of biases and norms), and the optimizer."""
    rate = learning_rate(config, steps_per_epoch)

    def schedule(count: PyTree) -> PyTree:
        # optax mixes integers and floats, which strict dtype promotion forbids.
        return rate(jnp.asarray(count, jnp.float32))

    parts = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    if config.optimizer == "sgd":
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_matrices))
        parts.append(optax.sgd(schedule, momentum=config.momentum or None, nesterov=config.nesterov))
    elif config.optimizer == "adam":
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_matrices))
        parts.append(optax.adam(schedule))
    else:
        parts.append(optax.adamw(schedule, weight_decay=config.weight_decay, mask=_matrices))
    return optax.chain(*parts)


def _matrices(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
