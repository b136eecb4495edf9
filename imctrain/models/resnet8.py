"""A small residual network with more pixels and fewer channels: resnet6 without the stem's stride, with a third stage.

Seven 3x3 convolutions and the classifier, w-2w-4w-8w channels. At width 16 it has about as many parameters as resnet6
at width 32 and does 1.5 times its multiplications; stages see 16x16, 8x8 and 4x4 pixels.
The layers of D. Page's ResNet-9 for fast CIFAR-10 training (2018), with average pooling before a stage's first
convolution (see `resnet6`) and one residual convolution, in every stage.
"""

from __future__ import annotations

import itertools

from flax import nnx

from imctrain.errors import UserError
from imctrain.models.layers import ConvNorm, Head
from imctrain.models.resnet6 import Resnet6, Stage

STAGES = (2, 4, 8)
"""Channels of each stage in units of the width."""
SMALLEST = 2 ** len(STAGES)
"""Side of an image of which pooling leaves one pixel."""


class Resnet8(Resnet6):
    """resnet6 with other layers. Sites: stem, stage1/down, stage1/residual, .. stage3/residual, head."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 32, rngs: nnx.Rngs):
        if min(shape[:2]) < SMALLEST:
            raise UserError(
                f"resnet8 halves its input three times: {shape[0]}x{shape[1]} is below {SMALLEST}x{SMALLEST}"
            )
        self.stem = ConvNorm(shape[-1], width, scope="stem", rngs=rngs)
        sizes = (width, *(multiple * width for multiple in STAGES))
        self.stages = nnx.List([Stage(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)])
        self.head = Head(sizes[-1], classes, rngs=rngs)
