"""One dense layer the size of the macro, 1152 x 256, as a network that can be trained."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PyTree

INPUTS, OUTPUTS = 1152, 256


class DenseNetwork:
    """The interface of `training.network.Network` for a single matmul of non-negative inputs."""

    def __init__(self) -> None:
        self.params = {"kernel": 0.05 * jax.random.normal(jax.random.key(0), (INPUTS, OUTPUTS))}
        self.rest: PyTree = {}

    def train_forward(self, params: PyTree, rest: PyTree, x: Array) -> tuple[Array, PyTree]:
        """x [b, 1, 1, 1152] -> [b, 256]. The input is scaled by a parameter's sum so that dX is needed too."""
        with jax.named_scope("dense"):
            hidden = jax.nn.relu(x.reshape(x.shape[0], INPUTS) + 0.0 * jnp.sum(params["kernel"]))
            return hidden @ params["kernel"], rest

    def eval_forward(self, params: PyTree, rest: PyTree, x: Array) -> Array:
        return self.train_forward(params, rest, x)[0]
