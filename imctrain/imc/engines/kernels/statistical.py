"""The statistical path: one ordinary product and one Gaussian draw an output, in place of every conversion.

When the noise before rounding dithers the converter (see `dither`) and hardly anything clips, a conversion is

    code * lsb = gain * (v + inl(v)) + offset + (noise of variance lsb^2 (sigma^2 + 1/12)),

so the sum over tiles, passes and planes is linear in the driven values and Gaussian around it:

    Y = X W_eff + bias + N(0, variance)
    W_eff[k, n]  = sum_j beta_j g[t(k), j, n] W_j[k, n]             gain folded into the stored operand, by tile
    bias[n]      = sum_{t,p,j} c_p beta_j FS_t o[t, j, n]           offset; FS_t = rows_t * L
    variance[n]  = sum_{t,p,j} (c_p beta_j FS_t lsb_p m[t, j, n])^2 (r[t, j, n]^2 sigma_p^2 + 1/12)

Noise that conversions share (`shared_noise`) adds to Y, and correlates its outputs and repeats,

    slow[m, n]   = N(0, sum_{t,j} (sum_p c_p)^2 (beta_j FS_t r[t, j, n] sigma_slow)^2), the same in all repeats
    common[m, n] = sum_t kappa[t, m] sum_j beta_j FS_t r[t, j, n] sigma_common,  kappa[t, m] ~ N(0, sum_p c_p^2)

r being the noise of a column relative to the chip's (1 where all are alike), m what the digital side multiplies its
readings by (1 where gains are not calibrated; in r too, for what conversions share), with INL to first order,
inl(v) ~ a + b v, folded in: g = m gain (1 + b), o = m (offset + gain a - (digital correction)). What a column's INL
deviates from that of all is in a and b, by its line over the ranges in use (`chip.curves`), whose a differs from pass
to pass. Without gain errors W_eff is W and the product is that of the codes. What is driven or stored around its middle
(`centring`) has X and W relative to it, and its digital terms added.

Engine interface as in `exact`, but a reading holds the product alone: clipping and column voltages are measured by
`probe`. Which MVMs may run here is decided in `path`.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.chip.curves import Lines, lines
from imctrain.imc.chip.random_numbers import Seed
from imctrain.imc.engines.kernels import digital, exact
from imctrain.imc.engines.kernels.centring import convolution_correction, matmul_correction
from imctrain.imc.engines.kernels.shared_noise import Streams, of_outputs
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.imc.mvm.products import Driven, Ranges, Reading, Stored

_NOISE = 0


def matmul(x: Driven, w: Stored, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """[G, M, K] x [G, N, K] -> [G, M, N], see `exact.matmul`."""
    if _folded(plan, ranges) is None:
        mean = jnp.einsum("gmk,gnk->gmn", x, w, preferred_element_type=jnp.float32)
    else:
        driven = x - plan.mapping.centre
        mean = jnp.einsum("gmk,gnk->gmn", driven, _effective(w, plan, ranges), preferred_element_type=jnp.float32)
        mean = mean + matmul_correction(x, w, plan)
    bias = _bias(plan, ranges)
    if bias is not None:
        mean = mean + jnp.sum(bias, axis=0)[:, None, :]  # [G or 1, 1, N]
    powers = plan.output_noise_powers(ranges)
    reading = _with_noise(mean, plan, ranges, seed, None if powers is None else powers[:, None, :])
    if not plan.shares_noise:
        return reading
    shared = of_outputs(mean.shape[:-1], plan, Streams.of(plan, seed), lambda of_columns: of_columns[:, None, :])
    return reading._replace(product=reading.product + shared)


def convolve(x: Array, w: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """A convolution in canonical layout, see `exact.convolve`."""
    folded = _folded(plan, ranges)
    if folded is None:
        mean = geometry.convolve(x, w)
    else:
        # Tiles cut the input channels: every channel has the gains of its tile.
        gain = jnp.repeat(jnp.asarray(folded.gain), plan.tiles.size, axis=0)[: plan.tiles.units]  # [C/G, G, J, N]
        split = w.reshape(*geometry.kernel, geometry.group_channels, geometry.groups, geometry.group_outputs)
        weights = _weighted(gain, plan)
        # Plane by plane: XLA's CPU library crashes (jaxlib 0.10.2) in a sum over a broadcast product of rank 7, and a
        # vmap over keys or chips makes it one.
        planes = (cells.astype(jnp.float32) * weights[..., j, :] for j, cells in enumerate(plan.coding.cells(split)))
        kernel = jnp.asarray(sum(planes)).reshape(w.shape)
        mean = geometry.convolve(x - plan.mapping.centre, kernel)
        mean = mean + convolution_correction(x, w, geometry, plan)
    bias = _bias(plan, ranges)
    if bias is not None:
        mean = mean + jnp.sum(bias, axis=0).reshape(-1)
    powers = plan.output_noise_powers(ranges)
    reading = _with_noise(mean, plan, ranges, seed, None if powers is None else powers.reshape(-1))
    if not plan.shares_noise:
        return reading
    vectors = (*mean.shape[:-1], geometry.groups)
    shared = of_outputs(vectors, plan, Streams.of(plan, seed), lambda of_columns: of_columns)
    grouped = reading.product.reshape(*vectors, geometry.group_outputs) + shared
    return reading._replace(product=grouped.reshape(mean.shape))


def kernel_gradient(g: Array, x: Array, geometry: ConvGeometry, plan: MvmPlan, ranges: Ranges, seed: Seed) -> Reading:
    """dw [*k, C/G, G*N], see `exact.kernel_gradient`: the convolution's own gradient where columns are alike."""
    if not is_ideal(plan):
        return exact.kernel_gradient(g, x, geometry, plan, ranges, seed, engine=matmul)
    mean = digital.kernel_gradient(g, x, geometry, plan, ranges, seed).product
    return _with_noise(mean, plan, ranges, seed)


def _with_noise(mean: Array, plan: MvmPlan, ranges: Ranges, seed: Seed, powers: Array | None = None) -> Reading:
    """powers: variance of each output, broadcastable to mean, where columns are not alike."""
    sigma = jnp.sqrt(plan.fresh_noise_power(ranges) if powers is None else powers)
    product = mean + sigma * noise.gaussian(noise.derive(seed, _NOISE), mean.shape)
    nothing = jnp.zeros(plan.passes, jnp.float32)
    return Reading(product, nothing, nothing, nothing)


class _Folded(NamedTuple):
    """Of each tile's columns, [T, G or 1, J, N]: g; o without what differs from pass to pass; and the sum over passes
    of c_p times that (None for nothing)."""

    gain: Any
    offset: Any
    heights: Any = None


def _effective(w: Array, plan: MvmPlan, ranges: Ranges) -> Array:
    """W_eff [G, N, K] of w [G, N, K], relative to the coding's centre."""
    folded = _folded(plan, ranges)
    assert folded is not None
    tiles = plan.tiles
    weights = _weighted(folded.gain, plan)  # [T, G or 1, J, N]
    padded = jnp.pad(w, ((0, 0), (0, 0), (0, tiles.padded - tiles.units)))
    planes = plan.coding.cells(padded.reshape(*w.shape[:2], tiles.count, tiles.size))
    # Plane by plane, so that it stays one pass over the codes: planes side by side would be J times the operand.
    total = sum(
        cells.astype(jnp.float32) * jnp.moveaxis(weights[:, :, j], 0, -1)[..., None] for j, cells in enumerate(planes)
    )
    return jnp.asarray(total).reshape(*w.shape[:2], -1)[..., : tiles.units]


def _weighted(gain: Any, plan: MvmPlan) -> Array:
    """beta_j g, [..., J, N]."""
    return jnp.asarray(gain * np.asarray(plan.coding.weights, np.float32)[:, None])


def _bias(plan: MvmPlan, ranges: Ranges) -> Array | None:
    """Offset of every output, [T, G or 1, N] in units of the integer product; None without offsets."""
    folded = _folded(plan, ranges)
    if folded is None:
        return None
    passes = float(sum(plan.mapping.coefficients))
    beta = np.asarray(plan.coding.weights, np.float32)[:, None]
    bias = jnp.asarray(passes * plan.full_scales)[:, None, None] * jnp.sum(jnp.asarray(folded.offset) * beta, axis=-2)
    if folded.heights is None:
        return bias
    return bias + jnp.asarray(plan.full_scales)[:, None, None] * jnp.sum(folded.heights * beta, axis=-2)


def is_ideal(plan: MvmPlan) -> bool:
    """Whether no fixed pattern and no INL enter, columns are alike in their noise, and conversions share none."""
    return plan.pattern() is None and not plan.converter.inl[0] and not plan.shares_noise


def _folded(plan: MvmPlan, ranges: Ranges) -> _Folded | None:
    """Gain and offset with the lines of the INL folded in; None where all are ideal."""
    errors, curves = plan.column_errors(), plan.column_curves()
    if errors is None and curves is None and not plan.converter.inl[0]:
        return None
    a, b = inl_line(plan)
    shape = (plan.tiles.count, 1 if plan.shared_columns else plan.groups, plan.planes, plan.outputs)
    ideal = (np.ones(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    gain, offset, correction = errors if errors is not None else ideal
    multiplier = plan.column_multipliers()
    multiplier = 1.0 if multiplier is None else multiplier.reshape(shape)
    gain, offset, correction = (part.reshape(shape) for part in (gain, offset, correction))
    folded = _Folded(multiplier * gain * (1 + b), multiplier * (offset + gain * a - correction))
    if curves is None:
        return folded
    own, given = curve_lines(plan, ranges), jnp.asarray(multiplier * gain)
    columns = [jnp.asarray(shape_of).reshape(shape) for shape_of in curves]
    slope = sum(c * b for c, b in zip(columns, own.slope, strict=True))
    coefficients = jnp.asarray(plan.mapping.coefficients, jnp.float32)
    heights = sum(c * jnp.sum(coefficients * a) for c, a in zip(columns, own.height, strict=True))
    return _Folded(folded.gain + given * slope, folded.offset, given * heights)


def curve_lines(plan: MvmPlan, ranges: Any) -> Lines:
    """Lines of the shapes of single columns' curves at the ranges of an MVM's passes, [P]."""
    return lines(ranges, plan.mapping.coefficients, plan.converter.unipolar, plan.converter.lowest_v)


def inl_line(plan: MvmPlan) -> tuple[Any, Any]:
    """(a, b) of the line that fits the INL best over [-1, 1] (or [0, 1]), as fractions of full scale: floats, or traced
    where the chip is."""
    knots, values = plan.converter.inl
    if not knots:
        return 0.0, 0.0
    fit, _ = _line_fit(knots, plan.converter.unipolar)
    if isinstance(values, Array):
        a, b = jnp.asarray(fit, jnp.float32) @ values
        return a, b
    a, b = fit @ np.asarray(values)
    return float(a), float(b)


@functools.cache
def _line_fit(knots: tuple[float, ...], unipolar: bool) -> tuple[np.ndarray, np.ndarray]:
    """What is linear in the values at the knots: the least-squares line, rows a and b, [2, knots]; and what is left of
    the INL over the converter's range, [257, knots]."""
    v = np.linspace(0.0 if unipolar else -1.0, 1.0, 257)
    shapes = np.stack([np.interp(v, knots, one) for one in np.eye(len(knots))], axis=1)
    lines = np.stack([np.ones_like(v), v], axis=1)
    fit = np.linalg.lstsq(lines, shapes, rcond=None)[0]
    return fit, shapes - lines @ fit


def inl_residual_lsb(plan: MvmPlan) -> Any:
    """Largest distance of the INL from its line, in LSB at R = 1 of the converter at hand: a float, or traced where the
    chip is."""
    knots, values = plan.converter.inl
    if not knots:
        return 0.0
    _, left = _line_fit(knots, plan.converter.unipolar)
    lsb = plan.converter.lsb_at_full_range
    if isinstance(values, Array):
        return jnp.max(jnp.abs(jnp.asarray(left, jnp.float32) @ values)) / lsb
    return float(np.max(np.abs(left @ np.asarray(values))) / lsb)
