"""Divergence: what a step records so that it can be found, and the words for where it began."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, PyTree

HOPELESS = 1000.0
"""A loss this many times that of guessing is no spike that training recovers from."""


class Diverged(Exception):
    """Values that are not finite, or a hopeless loss; the message says where and what is still good."""


class Health(NamedTuple):
    """What a step records, small enough to keep for every step.

    Attributes:
        weights, gradients: float32, largest magnitude in each parameter (before the step) and in its gradient, in the
            order of `leaf_names`; NaN where a value is NaN.
        forward, backward: bool, one a site in sorted order: its products in that direction are finite.
        logits: bool, all are finite.
    """

    weights: Array
    gradients: Array
    forward: Array
    backward: Array
    logits: Array


def leaf_names(tree: PyTree) -> list[str]:
    """Names of a network's parameters: "layers/0/conv/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/").removesuffix("/value") for path, _ in leaves]


def health(
    params: PyTree, gradients: PyTree, telemetry: dict[str, PyTree], logits: Float[Array, "batch classes"]
) -> Health:
    """The record of a step, inside jit; telemetry: {site: what its backward pass returned}."""
    sites = sorted(telemetry)
    return Health(
        weights=_largest(params),
        gradients=_largest(gradients),
        forward=_finite([_parts(telemetry[site], forward=True) for site in sites]),
        backward=_finite([_parts(telemetry[site], forward=False) for site in sites]),
        logits=jnp.all(jnp.isfinite(logits)),
    )


def _largest(tree: PyTree) -> Array:
    return jnp.stack([jnp.max(jnp.abs(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(tree)])


def _parts(telemetry: PyTree, *, forward: bool) -> list[Array]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(telemetry)
    return [leaf for path, leaf in leaves if ("forward" in jax.tree_util.keystr(path)) == forward]


def _finite(groups: list[list[Array]]) -> Array:
    flags = [[jnp.all(jnp.isfinite(leaf)) for leaf in leaves] for leaves in groups]
    return jnp.asarray([jnp.all(jnp.asarray(group, bool)) for group in flags], bool)


def find(record: Health, loss: float, *, classes: int, parameters: Sequence[str], sites: Sequence[str]) -> str | None:
    """Where a step (its record on the host) diverged, in words; None if it did not.

    Args:
        parameters: `leaf_names` of the network. sites: simulated sites in program order.
    """
    order = {site: place for place, site in enumerate(sorted(sites))}
    if not np.all(np.isfinite(record.weights)):
        return f"parameter {parameters[_first_bad(record.weights)]} is not finite"
    for site in sites:
        if not record.forward[order[site]]:
            return f"values first are not finite at site {site}, forward"
    if not record.logits:
        largest = int(np.argmax(record.weights))
        return (
            "the logits are not finite; the largest weights are those of "
            f"{parameters[largest]} ({record.weights[largest]:.3g})"
        )
    for site in reversed(sites):
        if not record.backward[order[site]]:
            return f"values first are not finite at site {site}, backward"
    if not np.all(np.isfinite(record.gradients)):
        return f"the gradient of {parameters[_first_bad(record.gradients)]} is not finite"
    guessing = math.log(classes)
    if not math.isfinite(loss) or loss > HOPELESS * guessing:
        largest = int(np.argmax(record.gradients))
        return (
            f"guessing has a loss of {guessing:.2f}; the largest gradient is that of {parameters[largest]} "
            f"({record.gradients[largest]:.3g})"
        )
    return None


def _first_bad(values: Array) -> int:
    return int(np.argmin(np.isfinite(values)))
