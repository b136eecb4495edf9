"""The optimizer and its schedule, from the config (optax)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from imctrain.errors import UserError
from imctrain.own_code import Source, call, load, told
from imctrain.settings import TrainingConfig

KEY = "training.optimizer"


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


def make_optimizer(
    config: TrainingConfig, steps_per_epoch: int, source: Source | None = None
) -> optax.GradientTransformation:
    """Clipping, decay of matrices and kernels (not of biases and norms), and the optimizer.

    Args:
        source: code of a user's optimizer, in place of a built-in one. It does its own decay.

    Raises UserError for a user's code that fails, or returns no optax transformation.
    """
    rate = learning_rate(config, steps_per_epoch)

    def schedule(count: PyTree) -> PyTree:
        # optax mixes integers and floats, which strict dtype promotion forbids.
        return rate(jnp.asarray(count, jnp.float32))

    parts = [] if config.clip_norm is None else [optax.clip_by_global_norm(config.clip_norm)]
    if source is not None:
        parts.append(_own(source, config, steps_per_epoch, schedule))
    elif config.optimizer == "sgd":
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_matrices))
        parts.append(optax.sgd(schedule, momentum=config.momentum or None, nesterov=config.nesterov))
    elif config.optimizer == "adam":
        parts.append(optax.add_decayed_weights(config.weight_decay, mask=_matrices))
        parts.append(optax.adam(schedule))
    else:
        parts.append(optax.adamw(schedule, weight_decay=config.weight_decay, mask=_matrices))
    return optax.chain(*parts)


def _own(
    source: Source, config: TrainingConfig, steps_per_epoch: int, schedule: optax.Schedule
) -> optax.GradientTransformation:
    """What the user's callable makes of those of these that its signature takes."""
    given = {
        "learning_rate": schedule,
        "steps": config.total_steps(steps_per_epoch),
        "steps_per_epoch": steps_per_epoch,
        "epochs": config.epochs,
        "weight_decay": config.weight_decay,
        "momentum": config.momentum,
        "nesterov": config.nesterov,
    }
    made = call(load(source, KEY), source, KEY, given, {})
    if not (callable(getattr(made, "init", None)) and callable(getattr(made, "update", None))):
        raise UserError(
            f"{KEY} = {source.name!r}: it returned {type(made).__name__}: return an optax.GradientTransformation"
        )
    return optax.GradientTransformationExtraArgs(*optax.with_extra_args_support(made))


def check_optimizer(optimizer: optax.GradientTransformation, params: PyTree, source: Source) -> None:
    """Raise UserError for a user's optimizer that cannot make a step, or whose state is another one after it.

    Nothing is computed.
    """

    def step(params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        return update(optimizer, params, state, params, jnp.float32(0))

    with told(source, f"{KEY} = {source.name!r}"):
        state = jax.eval_shape(optimizer.init, params)
        updates, after = jax.eval_shape(step, params, state)
    if not _alike(updates, params):
        raise UserError(f"{KEY} = {source.name!r}: its updates are not in the structure of the parameters")

    if not _alike(after, state):
        raise UserError(f"{KEY} = {source.name!r}: a step changes the form of its state: keep shapes and dtypes")


def _alike(a: PyTree, b: PyTree) -> bool:
    """Whether two trees have the same leaves: paths, shapes and dtypes."""

    def form(tree: PyTree) -> list[tuple[object, object, object]]:
        return [(path, leaf.shape, leaf.dtype) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]]

    return form(a) == form(b)


def update(
    optimizer: optax.GradientTransformation, gradient: PyTree, state: PyTree, params: PyTree, loss: jax.Array
) -> tuple[PyTree, PyTree]:
    """(updates, state) of a step; transformations that ask for it get the loss (`value`) and the gradient (`grad`)."""
    if isinstance(optimizer, optax.GradientTransformationExtraArgs):
        updates, state = optimizer.update(gradient, state, params, value=loss, grad=gradient)
    else:
        updates, state = optimizer.update(gradient, state, params)
    return updates, state


def _matrices(params: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)
