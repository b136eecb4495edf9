"""ResNet-18 with the stem for small images: four stages of two basic blocks, 64-128-256-512 channels.

Source: K. He et al., "Deep Residual Learning for Image Recognition", 2016, with a 3x3 stem of stride 1 and no pooling
in place of the 7x7 stem for ImageNet, and 1x1 convolutions as shortcuts where a stage starts (option B).
"""

from __future__ import annotations

import jax
from flax import nnx

from imctrain.models.layers import ConvNorm, Head, global_average_pool

STAGES = (1, 2, 4, 8)
"""Channels of each stage in units of the width."""
BLOCKS = 2


class Block(nnx.Module):
    """relu(shortcut(x) + bn(conv2(relu(bn(conv1(x)))))); its input is non-negative, as is its output."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, rngs: nnx.Rngs):
        self.first = ConvNorm(inputs, outputs, stride=stride, scope="conv1", rngs=rngs)
        self.second = ConvNorm(outputs, outputs, scope="conv2", zero_scale=True, rngs=rngs)
        self.shortcut = (
            ConvNorm(inputs, outputs, kernel=1, stride=stride, scope="shortcut", rngs=rngs)
            if stride != 1 or inputs != outputs
            else None
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        branch = self.second(jax.nn.relu(self.first(x)))
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return jax.nn.relu(shortcut + branch)


class Resnet18(nnx.Module):
    """Sites: stem, stage1/block0/conv1 ... stage4/block1/conv2, stage2/block0/shortcut ..., head."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 64, rngs: nnx.Rngs):
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
