"""Keys: every execution of every site draws noise of its own.

    user key -> site index -> iteration of each enclosing loop -> element of each batch mapped from outside

Inside `Site.apply` the chain goes on (forward, the two backward MVMs, rounding). A site's depth in the chain is fixed,
so no two executions share a key.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap

from imctrain.errors import UserError
from imctrain.intercept._jax_internals import Value


def typed_key(key: Array) -> Array:
    """A typed key from a typed one or from raw uint32 words. Raises UserError for anything that is not one key."""
    dtype = getattr(key, "dtype", None)
    if dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if key.shape == ():
            return key
        raise UserError(f"key has shape {key.shape}: give one key (jax.vmap maps a batch of keys)")
    if dtype == jnp.uint32 and key.ndim == 1:
        return jax.random.wrap_key_data(key)
    raise UserError(f"key is {key!r}: give a JAX key, as jax.random.key(0) makes it")


@custom_vmap
def per_element(key: Array, *operands: Array) -> Array:
    """The key, or, where `jax.vmap` maps the operands but not the key, one key for each element of the batch."""
    del operands
    return key


@per_element.def_vmap
def _split_over_batch(axis_size: int, in_batched: Sequence[bool], key: Array, *operands: Array) -> tuple[Array, bool]:
    key_batched, *operands_batched = in_batched
    key = per_element(key, *operands)  # maps further out
    if key_batched or not any(operands_batched):
        return key, key_batched
    elements = jnp.arange(axis_size, dtype=jnp.uint32)
    return jax.vmap(lambda element: _fold(key, element))(elements), True


def _fold(key: Array, element: Array) -> Array:
    """`fold_in` for a key or an array of keys."""
    flat = jax.vmap(lambda k: jax.random.fold_in(k, element))(key.reshape(math.prod(key.shape)))
    return flat.reshape(key.shape)


def execution_key(key: Array, site_index: int, iterations: Sequence[Array], operands: Sequence[Value]) -> Array:
    """The key of one execution of one site (the chain at the head of this file)."""
    key = jax.random.fold_in(key, site_index)
    for iteration in iterations:
        key = jax.random.fold_in(key, iteration)
    return per_element(key, *(jax.lax.stop_gradient(operand) for operand in operands))
