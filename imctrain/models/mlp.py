"""A multi-layer perceptron on flattened pixels."""

from __future__ import annotations

import math

import jax
from flax import nnx

from imctrain.models.layers import DenseNorm, Head

HIDDEN_LAYERS = 2


class Mlp(nnx.Module):
    """`HIDDEN_LAYERS` dense layers of `width` units with batch norm and ReLU, then the classifier.

    Sites: stem, layer1, head.
    """

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 256, rngs: nnx.Rngs):
        scopes = ["stem", *(f"layer{i}" for i in range(1, HIDDEN_LAYERS))]
        inputs = [math.prod(shape), *(width for _ in scopes[1:])]
        self.layers = nnx.List(
            DenseNorm(size, width, scope=scope, rngs=rngs) for size, scope in zip(inputs, scopes, strict=True)
        )
        self.head = Head(width, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [b, h, w, c] -> logits [b, classes]."""
        x = x.reshape(x.shape[0], -1)
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return self.head(x)
