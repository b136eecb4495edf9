"""A small residual network made for CPUs and for arrays: a stem that halves the image, then two stages of pooling, a
convolution and a residual one, w-2w-4w channels.

Five 3x3 convolutions and the classifier. The stem's stride leaves 16x16 pixels and the stages 8x8 and 4x4, where
convolutions are wide and few: at equal accuracy it costs a fraction of cnn5. Each stage is a layer of D. Page's
ResNet-9 for fast CIFAR-10 training (2018), with average pooling before its convolution and one residual convolution,
not two. Pooling comes before and not as a stride: the input gradient of a strided convolution drives three rows of four
with zeros, a quarter of the swing for the same noise.
"""

from __future__ import annotations

import jax
from flax import nnx

from imctrain.errors import UserError
from imctrain.models.layers import ConvNorm, Head, average_pool, global_average_pool

STAGES = (2, 4)
"""Channels of each stage in units of the width."""
SMALLEST = 7
"""Side of an image of which the stem leaves 4x4 pixels and pooling one."""


class Stage(nnx.Module):
    """y = relu(bn(down(pool(x)))), then relu(y + bn(residual(y))); its input is non-negative, as is its output."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.down = ConvNorm(inputs, outputs, scope="down", rngs=rngs)
        self.residual = ConvNorm(outputs, outputs, scope="residual", rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = jax.nn.relu(self.down(average_pool(x)))
        return jax.nn.relu(x + self.residual(x))


class Resnet6(nnx.Module):
    """Sites: stem, stage1/down, stage1/residual, stage2/down, stage2/residual, head."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 48, rngs: nnx.Rngs):
        if min(shape[:2]) < SMALLEST:
            raise UserError(
                f"resnet6 halves its input three times: {shape[0]}x{shape[1]} is below {SMALLEST}x{SMALLEST}"
            )
        self.stem = ConvNorm(shape[-1], width, stride=2, scope="stem", rngs=rngs)
        channels = width
        stages = []
        for multiple in STAGES:
            stages.append(Stage(channels, multiple * width, rngs=rngs))
            channels = multiple * width
        self.stages = nnx.List(stages)
        self.head = Head(channels, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [b, h, w, c] -> logits [b, classes]."""
        x = jax.nn.relu(self.stem(x))
        for number, stage in enumerate(self.stages, 1):
            with jax.named_scope(f"stage{number}"):
                x = stage(x)
        return self.head(global_average_pool(x))
