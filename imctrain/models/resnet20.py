"""ResNet-20 for small images: three stages of three basic blocks, 16-32-64 channels at the default width.

Source: K. He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2, with its parameter-free
shortcuts (option A): where a stage starts, every other pixel, and zeros for the new channels.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from imctrain.models.residual import ResidualBlock, ResidualNetwork

STAGES = (1, 2, 4)
"""Channels of each stage in units of the width."""
BLOCKS = 3


class Block(ResidualBlock):
    """A basic block whose shortcut has no parameters."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, rngs: nnx.Rngs):
        super().__init__(inputs, outputs, stride=stride, rngs=rngs)
        self.stride = stride
        self.widen = outputs - inputs

    def shortcut_of(self, x: jax.Array) -> jax.Array:
        shortcut = x[:, :: self.stride, :: self.stride]
        if self.widen:
            before = self.widen // 2
            shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (before, self.widen - before)))
        return shortcut


class Resnet20(ResidualNetwork):
    """Sites: stem, stage1/block0/conv1 ... stage3/block2/conv2, head."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 16, rngs: nnx.Rngs):
        super().__init__(Block, STAGES, BLOCKS, shape=shape, classes=classes, width=width, rngs=rngs)
