"""VGG-9: six 3x3 convolutions in three pooled stages, then three dense layers.

Channels are w, 2w, 4w and the dense layers have 8w units; w = 64 is the size used for CIFAR-10 (Simonyan and
Zisserman's design at small scale).
"""

from __future__ import annotations

import jax
from flax import nnx

from imctrain.errors import UserError
from imctrain.models.layers import ConvNorm, DenseNorm, Head

STAGES = (1, 2, 4)
"""Channels of each stage in units of the width; each stage has two convolutions and a 2x2 max pool."""
DENSE_UNITS = 8
SMALLEST = 2 ** len(STAGES)


class Vgg9(nnx.Module):
    """Max pooling comes before the ReLU, which gives the same result from a quarter of the comparisons and leaves the
    ReLU next to the convolution that it feeds.

    Sites: stem, stage1/conv2, stage2/conv1 ... stage3/conv2, fc1, fc2, head.
    """

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 64, rngs: nnx.Rngs):
        height, across, channels = shape
        if min(height, across) < SMALLEST:
            raise UserError(
                f"vgg9 halves its input {len(STAGES)} times: {height}x{across} is below {SMALLEST}x{SMALLEST}"
            )
        self.stem = ConvNorm(channels, width, scope="stem", rngs=rngs)
        channels = width
        stages = []
        for stage, multiple in enumerate(STAGES):
            convolutions = []
            # The stem is the first convolution of the first stage.
            for scope in ("conv2",) if stage == 0 else ("conv1", "conv2"):
                convolutions.append(ConvNorm(channels, multiple * width, scope=scope, rngs=rngs))
                channels = multiple * width
            stages.append(nnx.List(convolutions))
        self.stages = nnx.List(stages)
        flat = channels * (height // SMALLEST) * (across // SMALLEST)
        units = DENSE_UNITS * width
        self.dense = nnx.List(
            [DenseNorm(flat, units, scope="fc1", rngs=rngs), DenseNorm(units, units, scope="fc2", rngs=rngs)]
        )
        self.head = Head(units, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [b, h, w, c] -> logits [b, classes]."""
        x = jax.nn.relu(self.stem(x))
        for number, (*convolutions, last) in enumerate(self.stages, 1):
            with jax.named_scope(f"stage{number}"):
                for convolution in convolutions:
                    x = jax.nn.relu(convolution(x))
                x = jax.nn.relu(nnx.max_pool(last(x), (2, 2), strides=(2, 2)))
        x = x.reshape(x.shape[0], -1)
        for layer in self.dense:
            x = jax.nn.relu(layer(x))
        return self.head(x)
