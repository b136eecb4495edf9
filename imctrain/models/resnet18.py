"""ResNet-18 with the stem for small images: four stages of two basic blocks, 64-128-256-512 channels.

Source: K. He et al., "Deep Residual Learning for Image Recognition", 2016, with a 3x3 stem of stride 1 and no pooling
in place of the 7x7 stem for ImageNet, and 1x1 convolutions as shortcuts where a stage starts (option B).
"""

from __future__ import annotations

import jax
from flax import nnx

from imctrain.models.layers import ConvNorm
from imctrain.models.residual import ResidualBlock, ResidualNetwork

STAGES = (1, 2, 4, 8)
"""Channels of each stage in units of the width."""
BLOCKS = 2


class Block(ResidualBlock):
    """A basic block with a 1x1 convolution as its shortcut where it changes the shape."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, rngs: nnx.Rngs):
        super().__init__(inputs, outputs, stride=stride, rngs=rngs)
        self.shortcut = (
            ConvNorm(inputs, outputs, kernel=1, stride=stride, scope="shortcut", rngs=rngs)
            if stride != 1 or inputs != outputs
            else None
        )

    def shortcut_of(self, x: jax.Array) -> jax.Array:
        return x if self.shortcut is None else self.shortcut(x)


class Resnet18(ResidualNetwork):
    """Sites: stem, stage1/block0/conv1 ... stage4/block1/conv2, stage2/block0/shortcut ..., head."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 64, rngs: nnx.Rngs):
        super().__init__(Block, STAGES, BLOCKS, shape=shape, classes=classes, width=width, rngs=rngs)
