"""The exact path: every conversion of the system's formulas is simulated.

Planes sit side by side in the output channels of one product and passes in its batch, so a tile's conversions come
from a single convolution or batched matmul. What is held at once is bounded by `hardware.memory_mib`: beyond it the
vectors (or tiles) are worked off in chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.engines.kernels.centring import convolution_correction, matmul_correction
from imctrain.imc.engines.kernels.shared_noise import Streams, of_conversions
from imctrain.imc.mvm.columns import Pattern
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Driven, Ranges, Reading, Stored

BYTES = 4


def _convert(
    dots: Array,
    plan: MvmPlan,
    pass_axis: int,
    full_scale: Array,
    ranges: Ranges,
    streams: Streams,
    errors: Pattern | None,
) -> Reading:
    """Digitise dots [..., J, N] and add up planes and passes; the statistics are sums, not means.

    Args:
        pass_axis: axis of `dots` that counts passes.
        full_scale: dot product at full scale, broadcastable to dots.
        ranges: R of each pass, [P].
        errors: of the columns, broadcastable to dots.
    """
    conv = plan.converter
    passes = [1] * dots.ndim
    passes[pass_axis] = plan.passes
    reference = ranges.reshape(passes)
    eps = noise.gaussian(streams.own, dots.shape) if plan.hardware.has_noise else None
    errors = errors or Pattern()
    offset, shared = errors.offset, of_conversions(dots.shape, pass_axis, plan, streams, errors.noise)
    if shared is not None:
        offset = shared if offset is None else offset + shared
    if eps is not None and errors.noise is not None:
        eps = eps * errors.noise
    raw = conv.round_code(dots, full_scale, reference, eps, errors.gain, offset, errors.curves)
    code = conv.clip(raw)
    value = code * (reference * conv.lsb_at_full_range * full_scale)
    if errors.correction is not None and plan.hardware.adc.offset_conversions:
        value = value - errors.correction * full_scale
    if errors.multiplier is not None:
        value = value * errors.multiplier
    if plan.snaps == "always":
        value = jnp.round(value)
    elif plan.snaps == "depends":
        value = jnp.where(conv.resolves(full_scale, reference), jnp.round(value), value)
    weights = jnp.asarray(plan.mapping.coefficients, jnp.float32).reshape(passes) * jnp.asarray(
        plan.coding.weights, jnp.float32
    ).reshape(-1, 1)
    product = jnp.sum(value * weights, axis=(pass_axis, dots.ndim - 2))
    others = tuple(axis for axis in range(dots.ndim) if axis != pass_axis)
    clipped = jnp.sum(raw != code, axis=others, dtype=jnp.float32)
    lsb = ranges * conv.lsb_at_full_range
    return Reading(product, clipped, lsb * jnp.sum(code, axis=others), lsb**2 * jnp.sum(code * code, axis=others))


def _means(reading: Reading, plan: MvmPlan) -> Reading:
    per_pass = plan.conversions / (plan.samples * plan.passes)
    return Reading(reading.product, *(x / per_pass for x in reading[1:]))


def _chunks(size: int, bytes_each: int, budget: int) -> int:
    """The smallest divisor of `size` that brings bytes_each * size / divisor within the budget."""
    wanted = max(1, math.ceil(size * bytes_each / budget))
    return next((d for d in range(wanted, size + 1) if size % d == 0), size)


def _add(a: Reading, b: Reading) -> Reading:
    return Reading(*(x + y for x, y in zip(a, b, strict=True)))


def matmul(x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """[G, M, K] x [G, N, K] -> [G, M, N] on the array; both operands have the contraction last.

    Args:
        x: integer codes or radix-4 levels, [G, M, K]. w: integer codes, [G, N, K].
        ranges: R of each pass, [P]. seed: see `noise`.
    """
    reading = matmul_on(x, w, plan, ranges, seed, plan.pattern())
    return reading._replace(product=reading.product + matmul_correction(x, w, plan))


def matmul_on(
    x: Array,
    w: Array,
    plan: MvmPlan,
    ranges: Ranges,
    seed: Seed,
    errors: Pattern | None,
) -> Reading:
    """The array's part of `matmul` (see `centring` for the rest), with the fixed pattern given.

    Args:
        errors: what the plan's columns differ by, each [T, columns] or None (`MvmPlan.pattern`).
    """
    tiles, passes, planes = plan.tiles, plan.passes, plan.planes
    groups, vectors, _ = x.shape
    outputs = w.shape[1]
    # Eight-bit operands with the contraction contiguous are what CPUs multiply fastest; codes of -128..127 fit.
    dtype = jnp.int8 if plan.hardware.array.levels < 128 else jnp.float32
    exact_sum = jnp.int32 if dtype == jnp.int8 else jnp.float32
    padding = ((0, 0), (0, 0), (0, tiles.padded - tiles.units))
    driven = jnp.pad(plan.mapping.drive(x).astype(dtype), ((0, 0), *padding))
    driven = driven.reshape(passes, groups, vectors, tiles.count, tiles.size).transpose(3, 1, 0, 2, 4)
    stored = jnp.pad(w.astype(plan.coding.format.dtype), padding).reshape(groups, outputs, tiles.count, tiles.size)
    stored = stored.transpose(2, 0, 1, 3)
    streams = Streams.of(plan, seed)
    axes = (1, 1, 1) if plan.shared_columns else (groups, 1, 1)
    pattern = jax.tree.map(lambda e: jnp.asarray(e).reshape(tiles.count, *axes, planes, outputs), errors)
    full_scales = jnp.asarray(plan.full_scales).reshape(-1, 1, 1, 1, 1, 1)

    # Chunks of tiles when there are many, of vectors when one tile is already too much.
    budget = plan.hardware.memory_mib * 2**20
    tile_bytes = groups * planes * outputs * (BYTES * passes * vectors + tiles.size)
    tile_chunks = _chunks(tiles.count, tile_bytes, budget)
    vector_chunks = _chunks(vectors, tile_bytes // vectors, budget) if tile_chunks == tiles.count else 1
    part = vectors // vector_chunks

    def block(operands: tuple[Any, ...], own: Streams) -> Reading:
        inputs, cells, full_scale, fixed = operands
        count = cells.shape[0]
        cells = plan.coding.encode(cells, axis=2).reshape(count, groups, planes * outputs, tiles.size)
        inputs = inputs.reshape(count, groups, passes * part, tiles.size)
        dots = jnp.einsum("tgmk,tgck->tgmc", inputs, cells.astype(dtype), preferred_element_type=exact_sum)
        dots = dots.astype(jnp.float32).reshape(count, groups, passes, part, planes, outputs)
        reading = _convert(dots, plan, 2, full_scale, ranges, own, fixed)
        return reading._replace(product=jnp.sum(reading.product, axis=0))

    def over_tiles(inputs: Array, chunk: Array) -> Reading:
        operands = (inputs, stored, full_scales, pattern)
        if tile_chunks == 1:
            return block(operands, streams.at(chunk))
        split = jax.tree.map(lambda a: a.reshape(tile_chunks, -1, *a.shape[1:]), operands)
        nothing = jnp.zeros(passes, jnp.float32)
        zero = Reading(jnp.zeros((groups, part, outputs), jnp.float32), nothing, nothing, nothing)

        def step(sums: Reading, xs: tuple[Array, tuple[Any, ...]]) -> tuple[Reading, None]:
            index, these = xs
            return _add(sums, block(these, streams.at(chunk, index))), None

        return jax.lax.scan(step, zero, (jnp.arange(tile_chunks, dtype=jnp.uint32), split))[0]

    if vector_chunks == 1:
        return _means(over_tiles(driven, jnp.uint32(0)), plan)
    chunks = jnp.moveaxis(driven.reshape(*driven.shape[:3], vector_chunks, part, tiles.size), 3, 0)
    order = jnp.arange(vector_chunks, dtype=jnp.uint32)
    parts = jax.lax.map(lambda xs: over_tiles(*xs), (chunks, order))
    product = jnp.moveaxis(parts.product, 0, 1).reshape(groups, vectors, outputs)
    return _means(Reading(product, *(jnp.sum(s, axis=0) for s in parts[1:])), plan)


def convolve(x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """A convolution on the array that stays one: tiles cut the input channels, planes widen the output channels.

    Args:
        x: integer codes or radix-4 levels, [B, *S, C]. w: integer codes, [*k, C/G, G*N].
    """
    tiles, passes, planes = plan.tiles, plan.passes, plan.planes
    groups, outputs = geometry.groups, geometry.group_outputs
    driven = plan.mapping.drive(x)
    kernel = w.reshape(*geometry.kernel, geometry.group_channels, groups, outputs)
    errors, streams = plan.pattern(), Streams.of(plan, seed)
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
            cells = plan.coding.encode(kernel[..., channels, :, :], axis=-2).astype(jnp.float32)
            cells = cells.reshape(*cells.shape[:-3], groups * planes * outputs)
            dots = geometry.convolve(inputs, cells)
            dots = dots.reshape(passes, part, *geometry.output, groups, planes, outputs)
            pattern = jax.tree.map(lambda e, t=t: jnp.asarray(e[t]).reshape(groups, planes, outputs), errors)
            full_scale = jnp.asarray(plan.full_scales[t])
            reading = _convert(dots, plan, 0, full_scale, ranges, streams.at(t, chunk), pattern)
            total = reading if total is None else _add(total, reading)
        assert total is not None
        flat = total.product.reshape(part, *geometry.output, groups * outputs)
        return total._replace(product=flat)

    if chunks == 1:
        total = over_tiles(jnp.int32(0))
    else:
        parts = jax.lax.map(over_tiles, jnp.arange(chunks, dtype=jnp.int32))
        product = parts.product.reshape(geometry.batch, *parts.product.shape[2:])
        total = Reading(product, *(jnp.sum(s, axis=0) for s in parts[1:]))
    return _means(total._replace(product=total.product + convolution_correction(x, w, geometry, plan)), plan)


def kernel_gradient(
    g: Array,
    x: Array,
    geometry: ConvGeometry,
    plan: MvmPlan,
    ranges: Ranges,
    seed: Seed,
    engine: Callable[[Array, Array, MvmPlan, Array, Array], Reading] = matmul,
) -> Reading:
    """dw [*k, C/G, G*N] of the convolution x -> g: the gradient drives rows that hold what each output position saw.

    Here row tiles cut the output positions, so the stored operand is laid out as explicit patches, which `engine`
    multiplies.
    """
    groups, outputs = geometry.groups, geometry.group_outputs
    driven = jnp.moveaxis(g.reshape(-1, groups, outputs), 0, -1)  # [G, N, B*O]
    reading = engine(driven, geometry.patches(x.astype(plan.coding.format.dtype)), plan, ranges, seed)
    product = reading.product.reshape(groups, outputs, *geometry.kernel, geometry.group_channels)
    product = jnp.moveaxis(product, (0, 1), (-2, -1)).reshape(*geometry.kernel, geometry.group_channels, -1)
    return reading._replace(product=product)
