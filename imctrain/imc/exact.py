"""The exact path: every conversion of the system's formulas is simulated.

Planes sit side by side in the output channels of one product and passes in its batch, so a tile's conversions come
from a single convolution or batched matmul. What is held at once is bounded by `hardware.memory_mib`: beyond it the
vectors (or tiles) are worked off in chunks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from imctrain.imc import noise
from imctrain.imc.geometry import ConvGeometry
from imctrain.imc.plan import MvmPlan

BYTES = 4


class Reading(NamedTuple):
    """What an MVM on the array gives.

    Attributes:
        product: the estimate of the integer product, float32.
        clipped: fraction of conversions that fell outside the converter's codes, [P].
        v_mean, v_power: mean of v and of v^2 over all conversions, as the codes tell them, [P].
    """

    product: Array
    clipped: Array
    v_mean: Array
    v_power: Array


def _convert(
    dots: Array, plan: MvmPlan, pass_axis: int, full_scale: Array, ranges: Array, seed: Array, errors: tuple | None
) -> Reading:
    """Digitise dots [..., J, N] and add up planes and passes; the statistics are sums, not means.

    Args:
        pass_axis: axis of `dots` that counts passes.
        full_scale: dot product at full scale, broadcastable to dots.
        ranges: R of each pass, [P].
        errors: (gain, offset) broadcastable to dots, or None.
    """
    conv = plan.converter
    passes = [1] * dots.ndim
    passes[pass_axis] = plan.passes
    reference = ranges.reshape(passes)
    eps = noise.gaussian(seed, dots.shape) if plan.hardware.noise.has_noise else None
    gain, offset = errors if errors is not None else (None, None)
    raw = conv.round_code(dots, full_scale, reference, eps, gain, offset)
    code = conv.clip(raw)
    value = code * (reference * conv.lsb_at_full_range * full_scale)
    if plan.snaps:
        value = jnp.round(value)
    weights = jnp.asarray(plan.mapping.coefficients, jnp.float32).reshape(passes) * jnp.asarray(
        plan.coding.weights, jnp.float32
    ).reshape(-1, 1)
    product = jnp.sum(value * weights, axis=(pass_axis, dots.ndim - 2))
    others = tuple(axis for axis in range(dots.ndim) if axis != pass_axis)
    clipped = jnp.sum(raw != code, axis=others, dtype=jnp.float32)
    lsb = ranges * conv.lsb_at_full_range
    return Reading(product, clipped, lsb * jnp.sum(code, axis=others), lsb**2 * jnp.sum(code * code, axis=others))


def _means(reading: Reading, plan: MvmPlan) -> Reading:
    per_pass = plan.conversions / plan.passes
    return Reading(reading.product, *(x / per_pass for x in reading[1:]))


def _chunks(size: int, bytes_each: int, budget: int) -> int:
    """The smallest divisor of `size` that brings bytes_each * size / divisor within the budget."""
    wanted = max(1, math.ceil(size * bytes_each / budget))
    return next((d for d in range(wanted, size + 1) if size % d == 0), size)


def _add(a: Reading, b: Reading) -> Reading:
    return Reading(*(x + y for x, y in zip(a, b, strict=True)))


def matmul(x: Array, w: Array, plan: MvmPlan, ranges: Array, seed: Array) -> Reading:
    """[G, M, K] x [K, N] for each group, on the array.

    Args:
        x: integer codes or radix-4 levels, [G, M, K]. w: integer codes, [G, K, N].
        ranges: R of each pass, [P]. seed: see `noise`.
    """
    tiles, passes, planes = plan.tiles, plan.passes, plan.planes
    groups, vectors, _ = x.shape
    outputs = w.shape[-1]
    padding = tiles.padded - tiles.units
    driven = plan.mapping.drive(jnp.pad(x, ((0, 0), (0, 0), (0, padding))))
    driven = driven.reshape(passes, groups, vectors, tiles.count, tiles.size)
    stored = jnp.pad(w, ((0, 0), (0, padding), (0, 0))).reshape(groups, tiles.count, tiles.size, outputs)
    errors = plan.column_errors()
    budget = plan.hardware.memory_mib * 2**20
    tile_bytes = BYTES * groups * planes * outputs * (passes * vectors + tiles.size)

    # Chunks of tiles when there are many, of vectors when one tile is already too much.
    tile_chunks = min(tiles.count, max(1, math.ceil(tiles.count * tile_bytes / budget)))
    per_chunk = -(-tiles.count // tile_chunks)
    tile_chunks = -(-tiles.count // per_chunk)
    vector_chunks = _chunks(vectors, max(tile_bytes // vectors, 1), budget) if per_chunk == 1 else 1

    def block(first_tile: Array, tile_count: int, vector_chunk: Array) -> Reading:
        def cut(a: Array, axis: int) -> Array:
            return jax.lax.dynamic_slice_in_dim(a, first_tile, tile_count, axis)

        part = vectors // vector_chunks
        inputs = jax.lax.dynamic_slice_in_dim(cut(driven, 3), vector_chunk * part, part, 2)
        cells = plan.coding.encode(cut(stored, 1), axis=3).reshape(groups, tile_count, tiles.size, planes * outputs)
        dots = jnp.einsum("pgmtk,gtkc->tgpmc", inputs, cells, preferred_element_type=jnp.float32)
        dots = dots.reshape(tile_count, groups, passes, part, planes, outputs)
        full_scale = cut(jnp.asarray(plan.full_scales), 0).reshape(-1, 1, 1, 1, 1, 1)
        pattern = None
        if errors is not None:
            axes = (-1, 1, 1, 1, planes, outputs) if plan.shared_columns else (-1, groups, 1, 1, planes, outputs)
            pattern = tuple(cut(jnp.asarray(e), 0).reshape(axes) for e in errors)
        stream = noise.derive(seed, first_tile, vector_chunk)
        reading = _convert(dots, plan, 2, full_scale, ranges, stream, pattern)
        return reading._replace(product=jnp.sum(reading.product, axis=0))

    def over_tiles(vector_chunk: Array) -> Reading:
        full, rest = divmod(tiles.count, per_chunk)
        total: Reading | None = None
        if full == 1:
            total = block(jnp.int32(0), per_chunk, vector_chunk)
        elif full > 1:
            starts = jnp.arange(full, dtype=jnp.int32) * per_chunk
            shapes = jax.eval_shape(lambda: block(starts[0], per_chunk, vector_chunk))
            zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

            def step(sums: Reading, start: Array) -> tuple[Reading, None]:
                return _add(sums, block(start, per_chunk, vector_chunk)), None

            total = jax.lax.scan(step, zero, starts)[0]
        if rest:
            tail = block(jnp.int32(full * per_chunk), rest, vector_chunk)
            total = tail if total is None else _add(total, tail)
        assert total is not None
        return total

    if vector_chunks == 1:
        return _means(over_tiles(jnp.int32(0)), plan)
    parts = jax.lax.map(over_tiles, jnp.arange(vector_chunks, dtype=jnp.int32))
    product = jnp.moveaxis(parts.product, 0, 1).reshape(groups, vectors, outputs)
    return _means(Reading(product, *(jnp.sum(s, axis=0) for s in parts[1:])), plan)


def convolve(x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Array, seed: Array) -> Reading:
    """A convolution on the array that stays one: tiles cut the input channels, planes widen the output channels.

    Args:
        x: integer codes or radix-4 levels, [B, *S, C]. w: integer codes, [*k, C/G, G*N].
    """
    tiles, passes, planes = plan.tiles, plan.passes, plan.planes
    groups, outputs = geometry.groups, geometry.group_outputs
    driven = plan.mapping.drive(x)
    kernel = w.reshape(*geometry.kernel, geometry.group_channels, groups, outputs)
    errors = plan.column_errors()
    budget = plan.hardware.memory_mib * 2**20
    image_bytes = BYTES * passes * math.prod(geometry.output) * groups * planes * outputs
    chunks = _chunks(geometry.batch, image_bytes, budget)
    part = geometry.batch // chunks

    def over_tiles(chunk: Array) -> Reading:
        images = jax.lax.dynamic_slice_in_dim(driven, chunk * part, part, 1)
        total: Reading | None = None
        for t in range(tiles.count):
            channels = slice(t * tiles.size, min((t + 1) * tiles.size, geometry.group_channels))
            grouped = images.reshape(*images.shape[:-1], groups, geometry.group_channels)[..., channels]
            inputs = grouped.reshape(passes * part, *geometry.image, -1)
            cells = plan.coding.encode(kernel[..., channels, :, :], axis=-2)
            cells = cells.reshape(*cells.shape[:-3], groups * planes * outputs)
            dots = geometry.convolve(inputs, cells)
            dots = dots.reshape(passes, part, *geometry.output, groups, planes, outputs)
            pattern = None
            if errors is not None:
                pattern = tuple(jnp.asarray(e[t]).reshape(groups, planes, outputs) for e in errors)
            full_scale = jnp.asarray(plan.full_scales[t])
            reading = _convert(dots, plan, 0, full_scale, ranges, noise.derive(seed, t, chunk), pattern)
            total = reading if total is None else _add(total, reading)
        assert total is not None
        flat = total.product.reshape(part, *geometry.output, groups * outputs)
        return total._replace(product=flat)

    if chunks == 1:
        return _means(over_tiles(jnp.int32(0)), plan)
    parts = jax.lax.map(over_tiles, jnp.arange(chunks, dtype=jnp.int32))
    product = parts.product.reshape(geometry.batch, *parts.product.shape[2:])
    return _means(Reading(product, *(jnp.sum(s, axis=0) for s in parts[1:])), plan)


def kernel_gradient(g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Array, seed: Array) -> Reading:
    """dw [*k, C/G, G*N] of the convolution x -> g: the gradient drives rows that hold what each output position saw.

    Here row tiles cut the output positions, so the stored operand is laid out as explicit patches.
    """
    groups, outputs = geometry.groups, geometry.group_outputs
    driven = jnp.moveaxis(g.reshape(-1, groups, outputs), 0, -1)  # [G, N, B*O]
    reading = matmul(driven, geometry.patches(x), plan, ranges, seed)
    product = reading.product.reshape(groups, outputs, *geometry.kernel, geometry.group_channels)
    product = jnp.moveaxis(product, (0, 1), (-2, -1)).reshape(*geometry.kernel, geometry.group_channels, -1)
    return reading._replace(product=product)
