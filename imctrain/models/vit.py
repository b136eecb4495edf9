"""A small vision transformer, to show attention on IMC: both matmuls of attention are explicit.

Source: A. Dosovitskiy et al., "An Image Is Worth 16x16 Words", 2021, with patches of 4, mean pooling in place of a
class token, and a ReLU in place of the GELU so that the second dense layer sees non-negative inputs.

The width is the model dimension; heads and depth follow from it: one head and one block for every 32 (at least one head
and two blocks), so the default of 128 has four heads and four blocks.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from imctrain.errors import UserError
from imctrain.models.layers import Head, he_normal

PATCH = 4
HEAD_WIDTH = 32
SMALLEST_DEPTH = 2
MLP_RATIO = 4


class Attention(nnx.Module):
    """Multi-head self-attention; sites qkv, qk (queries x keys), av (attention x values) and out."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.heads = heads
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, tokens, width] -> the same."""
        batch, tokens, width = x.shape
        with jax.named_scope("qkv"):
            projected = self.qkv(x)
        heads = projected.reshape(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = (heads[:, :, i] for i in range(3))
        with jax.named_scope("qk"):
            scores = jnp.einsum("bqhd,bkhd->bhqk", query, key)
        attention = jax.nn.softmax(scores / math.sqrt(width // self.heads), axis=-1)
        with jax.named_scope("av"):
            mixed = jnp.einsum("bhqk,bkhd->bqhd", attention, value)
        with jax.named_scope("out"):
            return self.out(mixed.reshape(batch, tokens, width))


class Block(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); sites attn/..., mlp/fc1, mlp/fc2."""

    def __init__(self, width: int, heads: int, *, rngs: nnx.Rngs):
        self.norm1 = nnx.LayerNorm(width, rngs=rngs)
        self.attention = Attention(width, heads, rngs=rngs)
        self.norm2 = nnx.LayerNorm(width, rngs=rngs)
        self.fc1 = nnx.Linear(width, MLP_RATIO * width, kernel_init=he_normal, rngs=rngs)
        self.fc2 = nnx.Linear(MLP_RATIO * width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """[b, tokens, width] -> the same."""
        with jax.named_scope("attn"):
            x = x + self.attention(self.norm1(x))
        with jax.named_scope("mlp"):
            hidden = self.norm2(x)
            with jax.named_scope("fc1"):
                hidden = self.fc1(hidden)
            hidden = jax.nn.relu(hidden)
            with jax.named_scope("fc2"):
                return x + self.fc2(hidden)


class Vit(nnx.Module):
    """Sites: stem (patch embedding), block0/attn/qkv ... blockN/mlp/fc2, head."""

    def __init__(self, *, shape: tuple[int, int, int], classes: int, width: int = 128, rngs: nnx.Rngs):
        height, across, channels = shape
        if height % PATCH or across % PATCH:
            raise UserError(f"vit cuts images into {PATCH}x{PATCH} patches: {height}x{across} does not divide")
        if width > HEAD_WIDTH and width % HEAD_WIDTH:
            raise UserError(f"vit has one head for {HEAD_WIDTH} of its width: {width} is no multiple of {HEAD_WIDTH}")
        heads = max(1, width // HEAD_WIDTH)
        tokens = (height // PATCH) * (across // PATCH)
        self.stem = nnx.Conv(channels, width, (PATCH, PATCH), strides=PATCH, padding="VALID", rngs=rngs)
        position_init = nnx.initializers.truncated_normal(stddev=0.02)
        self.position = nnx.Param(position_init(rngs.params(), (1, tokens, width), jnp.float32))
        depth = max(SMALLEST_DEPTH, width // HEAD_WIDTH)
        self.blocks = nnx.List(Block(width, heads, rngs=rngs) for _ in range(depth))
        self.norm = nnx.LayerNorm(width, rngs=rngs)
        self.head = Head(width, classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """float32 [b, h, w, c] -> logits [b, classes]."""
        with jax.named_scope("stem"):
            x = self.stem(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1]) + self.position[...]
        for index, block in enumerate(self.blocks):
            with jax.named_scope(f"block{index}"):
                x = block(x)
        return self.head(jnp.mean(self.norm(x), axis=1))
