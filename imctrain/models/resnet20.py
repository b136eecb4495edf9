"""ResNet-20 for small images: three stages of three basic blocks, 16-32-64 channels at the default width.

Source: K. He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2, with its parameter-free
shortcuts (option A): where a stage starts, every other pixel, and zeros for the new channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from imctrain.models.layers import ConvNorm, Head, global_average_pool

STAGES = (1, 2, 4)
"""Channels of each stage in units of the width."""
BLOCKS = 3


class Block(nnx.Module):
    """relu(x + bn(conv2(relu(bn(conv1(x)))))); its input is non-negative, as is its output."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, rngs: nnx.Rngs):
        self.stride = stride
        self.widen = outputs - inputs
        self.first = ConvNorm(inputs, outputs, stride=stride, scope="conv1", rngs=rngs)
        self.second = ConvNorm(outputs, outputs, scope="conv2", zero_scale=True, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        branch = self.second(jax.nn.relu(self.first(x)))
        shortcut = x[:, :: self.stride, :: self.stride]
        if self.widen:
            before = self.widen // 2
            shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (before, self.widen - before)))
        return jax.nn.relu(shortcut + branch)


class Resnet20(nnx.Module):
    """Sites: stem, stage1/block0/conv1 ... stage3/block2/conv2, head."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 16, rngs: nnx.Rngs):
        self.stem = ConvNorm(shape[-1], width, scope="stem", rngs=rngs)
        channels = width
        stages = []
        for stage, multiple in enumerate(STAGES):
            blocks = []
            for block in range(BLOCKS):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(Block(channels, multiple * width, stride=stride, rngs=rngs))
                channels = multiple * width
            stages.append(nnx.List(blocks))
        self.stages = nnx.List(stages)
        self.head = Head(channels, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [b, h, w, c] -> logits [b, classes]."""
        x = jax.nn.relu(self.stem(x))
        for number, blocks in enumerate(self.stages, 1):
            for index, block in enumerate(blocks):
                with jax.named_scope(f"stage{number}"), jax.named_scope(f"block{index}"):
                    x = block(x)
        return self.head(global_average_pool(x))
