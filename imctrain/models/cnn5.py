"""A small convolutional network: five 3x3 convolutions, 16-32-32-64-64 channels at the default width."""

from __future__ import annotations

import jax
from flax import nnx

from imctrain.models.layers import ConvNorm, Head, global_average_pool

LAYERS = (("stem", 1, 1), ("conv2", 2, 2), ("conv3", 2, 1), ("conv4", 4, 2), ("conv5", 4, 1))
"""(scope, channels in units of the width, stride)."""


class Cnn5(nnx.Module):
    """`LAYERS` with batch norm and ReLU, global average pooling and the classifier.

    Sites: stem, conv2 ... conv5, head.
    """

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 16, rngs: nnx.Rngs):
        channels = shape[-1]
        layers = []
        for scope, multiple, stride in LAYERS:
            layers.append(ConvNorm(channels, multiple * width, stride=stride, scope=scope, rngs=rngs))
            channels = multiple * width
        self.layers = nnx.List(layers)
        self.head = Head(channels, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [b, h, w, c] -> logits [b, classes]."""
        for layer in self.layers:
            x = jax.nn.relu(layer(x))
        return self.head(global_average_pool(x))
