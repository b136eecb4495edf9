"""Layers that the networks share.

Every layer with weights is called under `jax.named_scope`, so that each matmul and convolution has a name in the
program ("stem", "stage1/block0/conv1", "head") that rules can match.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5

he_normal = nnx.initializers.he_normal()
"""For layers followed by a ReLU: variance 2 / fan-in (He et al., 2015)."""


def batch_norm(features: int, *, rngs: nnx.Rngs, zero_scale: bool = False) -> nnx.BatchNorm:
    """Batch normalisation with running statistics.

    Args:
        features: channels.
        rngs: of the model.
        zero_scale: start with gamma = 0, so that a residual branch starts as the identity.
    """
    scale_init = nnx.initializers.zeros_init() if zero_scale else nnx.initializers.ones_init()
    return nnx.BatchNorm(
        features,
        momentum=BATCH_NORM_MOMENTUM,
        epsilon=BATCH_NORM_EPSILON,
        scale_init=scale_init,
        rngs=rngs,
    )


class ConvNorm(nnx.Module):
    """A convolution without bias and its batch normalisation; padding keeps the size at stride 1.

    Args:
        inputs, outputs: channels.
        kernel: side of the kernel, odd.
        stride: in both directions.
        scope: name of the convolution's site.
        zero_scale: see `batch_norm`.
        rngs: of the model.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        scope: str,
        zero_scale: bool = False,
        rngs: nnx.Rngs,
    ):
        self.scope = scope
        pad = kernel // 2
        self.conv = nnx.Conv(
            inputs,
            outputs,
            (kernel, kernel),
            strides=stride,
            padding=((pad, pad), (pad, pad)),
            use_bias=False,
            kernel_init=he_normal,
            rngs=rngs,
        )
        self.norm = batch_norm(outputs, rngs=rngs, zero_scale=zero_scale)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, h, w, inputs] -> [b, ceil(h / stride), ceil(w / stride), outputs]."""
        with jax.named_scope(self.scope):
            return self.norm(self.conv(x))


class DenseNorm(nnx.Module):
    """A dense layer without bias and its batch normalisation; arguments as `ConvNorm`."""

    def __init__(self, inputs: int, outputs: int, *, scope: str, rngs: nnx.Rngs):
        self.scope = scope
        self.dense = nnx.Linear(inputs, outputs, use_bias=False, kernel_init=he_normal, rngs=rngs)
        self.norm = batch_norm(outputs, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, inputs] -> [b, outputs]."""
        with jax.named_scope(self.scope):
            return self.norm(self.dense(x))


class Head(nnx.Module):
    """The classifier: a dense layer under the scope "head"."""

    def __init__(self, inputs: int, classes: int, *, rngs: nnx.Rngs):
        self.dense = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, inputs] -> logits [b, classes]."""
        with jax.named_scope("head"):
            return self.dense(x)


def average_pool(x: jax.Array) -> jax.Array:
    """Means of 2x2 pixels, a last odd row or column left out: [b, h, w, c] -> [b, h // 2, w // 2, c]."""
    b, h, w, c = x.shape
    blocks = x[:, : h // 2 * 2, : w // 2 * 2].reshape(b, h // 2, 2, w // 2, 2, c)
    return jnp.mean(blocks, axis=(2, 4))


def global_average_pool(x: jax.Array) -> jax.Array:
    """[b, h, w, c] -> [b, c]."""
    return jnp.mean(x, axis=(1, 2))
