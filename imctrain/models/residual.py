"""Residual networks of basic blocks in stages (He et al., 2016): what resnet20 and resnet18 share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
from flax import nnx

from imctrain.models.layers import ConvNorm, Head, global_average_pool


class ResidualBlock(nnx.Module):
    """relu(shortcut(x) + bn(conv2(relu(bn(conv1(x)))))); its input is non-negative, as is its output.

    A network says what `shortcut` is where the block changes the shape.
    """

    def __init__(self, inputs: int, outputs: int, *, stride: int, rngs: nnx.Rngs):
        self.first = ConvNorm(inputs, outputs, stride=stride, scope="conv1", rngs=rngs)
        self.second = ConvNorm(outputs, outputs, scope="conv2", zero_scale=True, rngs=rngs)

    def shortcut_of(self, x: jax.Array) -> jax.Array:
        """[b, h, w, inputs] -> [b, ceil(h / stride), ceil(w / stride), outputs]."""
        raise NotImplementedError

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, inputs] -> [b, ceil(h / stride), ceil(w / stride), outputs]."""
        branch = self.second(jax.nn.relu(self.first(x)))
        return jax.nn.relu(self.shortcut_of(x) + branch)


class ResidualNetwork(nnx.Module):
    """Stem, stages of `blocks` blocks, classifier; every stage after the first halves the image.

    Args:
        block: makes a block of (inputs, outputs, stride, rngs).
        stages: channels of each stage in units of the width.
        blocks: in every stage.
        shape: height, width and channels of an image.
        classes: number of outputs.
        width: channels of the stem.
        rngs: of the model.
    """

    def __init__(
        self,
        block: Callable[..., ResidualBlock],
        stages: Sequence[int],
        blocks: int,
        *,
        shape: tuple[int, int, int],
        classes: int,
        width: int,
        rngs: nnx.Rngs,
    ):
        self.stem = ConvNorm(shape[-1], width, scope="stem", rngs=rngs)
        channels = width
        made = []
        for stage, multiple in enumerate(stages):
            row = []
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                row.append(block(channels, multiple * width, stride=stride, rngs=rngs))
                channels = multiple * width
            made.append(nnx.List(row))
        self.stages = nnx.List(made)
        self.head = Head(channels, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [b, h, w, c] -> logits [b, classes]."""
        x = jax.nn.relu(self.stem(x))
        for number, blocks in enumerate(self.stages, 1):
            for index, block in enumerate(blocks):
                with jax.named_scope(f"stage{number}"), jax.named_scope(f"block{index}"):
                    x = block(x)
        return self.head(global_average_pool(x))
