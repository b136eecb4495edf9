"""Encoding of a site's operands: floats to integer codes or radix-4 levels, with their digital scales."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from imctrain.formats import (
    NOISE,
    error_curve,
    gradient_scale,
    gradient_top,
    inside_clip,
    least_error_clip,
    least_error_with_noise,
    lowering,
    max_clip,
    mean_of_roundings,
    quantise,
    rms_clip,
    round_nearest,
    round_stochastic,
    sawb_clip,
    shifted_draw,
    top_code,
)
from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.settings import FormatSpec


@dataclass(frozen=True)
class OperandInfo:
    """What is known of an operand before it is seen.

    Attributes:
        kind: "weight" (depends on trained parameters only), "activation", or "gradient" (inside a custom backward
            rule: encoded in radix-4 and driven).
        nonneg: provably >= 0, as after a ReLU: encoded as uint4.
        differentiated: whether a gradient flows into it; an operand that depends on data alone needs none.
    """

    kind: Literal["weight", "activation", "gradient"]
    nonneg: bool = False
    differentiated: bool = True

    @property
    def signed(self) -> bool:
        return self.kind != "activation" or not self.nonneg


class Encoded(NamedTuple):
    """codes (float32 integers), the scale of one code, the clip alpha, and its statistic (what alpha starts from)."""

    codes: Array
    scale: Array
    clip: Array
    statistic: Array


def is_encoded(info: OperandInfo, formats: FormatSpec) -> bool:
    """Whether a weight or an activation is brought to codes, or stays float."""
    return ("weights" if info.kind == "weight" else "activations") in formats.quantise


def encode_pair(
    operands: tuple[Array, Array],
    infos: tuple[OperandInfo, OperandInfo],
    formats: FormatSpec,
    learned_clips: Array,
    noisy: tuple[MvmPlan, Array] | None = None,
) -> tuple[Encoded, Encoded]:
    """int4 or uint4 codes of a driven and a stored operand.

    Args:
        operands, infos: driven, stored. learned_clips: of both, [2]; used by "pact" once they are above 0.
        noisy: the plan of the MVM whose noise counts, and R of its passes, [P]; None where no noise counts.
    """
    if noisy is None or not formats.noise_aware:
        clips: tuple[Array | None, Array | None] = (None, None)
        lowered: tuple[Array | float, Array | float] = (1.0, 1.0)
    elif formats.weight_clip == "least_error":
        curves = [error_curve(x, signed=info.signed) for x, info in zip(operands, infos, strict=True)]
        tops = top_code(infos[0].signed), top_code(infos[1].signed)
        clips, lowered = least_error_with_noise(curves[0], curves[1], tops, _noise_an_element(*noisy)), (1.0, 1.0)
    else:
        clips, lowered = (None, None), clip_lowering(noisy[0], *infos, noisy[1])
    driven, stored = (
        encode_integer(operands[i], infos[i], formats, learned_clips[i], lowered[i], clips[i]) for i in (0, 1)
    )
    return driven, stored


def encode_integer(
    x: Array,
    info: OperandInfo,
    formats: FormatSpec,
    learned_clip: Array,
    lowered: Array | float = 1.0,
    known: Array | None = None,
) -> Encoded:
    """int4 or uint4 codes of a weight or an activation.

    Args:
        learned_clip: used by "pact" once it is above 0. lowered: multiplies a clip from statistics (`clip_lowering`).
        known: the clip from statistics, where it is known already.

    An operand that is not quantised (`formats.quantise`) keeps its values: its codes are x / scale, nothing saturates.
    """
    weight = info.kind == "weight"
    policy = formats.weight_clip if weight else formats.activation_clip
    chosen = _clip_from_statistics(x, info, policy) if known is None else known
    statistic = (formats.weight_clip_scale if weight else formats.activation_clip_scale) * lowered * chosen
    clip = jnp.where(learned_clip > 0, learned_clip, statistic) if policy == "pact" else statistic
    codes, scale = quantise(x, clip, signed=info.signed)
    if not is_encoded(info, formats):
        codes = x / scale
    return Encoded(codes, scale, clip, statistic)


def _clip_from_statistics(x: Array, info: OperandInfo, policy: str) -> Array:
    """alpha of a clip policy, scalar; a learned clip starts from that of "rms"."""
    if policy == "least_error":
        return least_error_clip(x, signed=info.signed)
    if policy == "max":
        return max_clip(x)
    return sawb_clip(x) if policy == "sawb" else rms_clip(x, signed=info.signed)


def _noise_an_element(plan: MvmPlan, ranges: Array) -> Array:
    """Noise variance of an MVM's integer product over the elements that it contracts, scalar."""
    return plan.output_noise_power(ranges) / plan.contraction


def clip_lowering(plan: MvmPlan, driven: OperandInfo, stored: OperandInfo, ranges: Array) -> tuple[Array, Array]:
    """What the clips of the driven and of the stored operand are multiplied by, scalars (see `formats.noise_clip`).

    Args:
        plan: of the MVM whose noise counts. ranges: R of its passes, [P].
    """
    nu = _noise_an_element(plan, ranges)
    tables = lowering(driven.signed, stored.signed)
    # The grid is logarithmic, and so is the interpolation; below its first level the clips differ by less than 1 %.
    grid = np.log(NOISE[1:]).astype(np.float32)
    at = jnp.log(jnp.maximum(nu, float(NOISE[1])))
    first, second = (jnp.interp(at, jnp.asarray(grid), jnp.asarray(table[1:])) for table in tables)
    return first, second


def passes_gradient(x: Array, clip: Array, info: OperandInfo, formats: FormatSpec) -> Array | None:
    """Where an activation's gradient passes (bool), or None for everywhere (weights are never masked)."""
    masked = info.kind != "weight" and is_encoded(info, formats)
    return inside_clip(x, clip, signed=info.signed) if masked else None


def clip_signs(x: Array, clip: Array, info: OperandInfo, formats: FormatSpec) -> Array | None:
    """Which way a learned clip moves an element: int8 in {-1, 0, 1}, or None where no clip is learned."""
    if info.kind == "weight" or formats.activation_clip != "pact" or not is_encoded(info, formats):
        return None
    return jnp.where(jnp.abs(x) > clip, jnp.sign(x), 0.0).astype(jnp.int8)


def next_clips(clips: Array, gradient: Array, statistics: Array, formats: FormatSpec) -> Array:
    """Learned clips after one step: the first step takes the statistics, later ones descend the gradient; [2] each.

    The step is relative to the clip (alpha * exp(-rate * ...) to first order), so that one rate fits all sites.
    """
    if formats.activation_clip != "pact":
        return clips
    slope = jnp.clip(gradient, -1.0, 1.0) + formats.pact_decay * clips
    return jnp.where(clips > 0, clips * (1.0 - formats.pact_learning_rate * slope), statistics)


def scale_of_gradient(g: Array, formats: FormatSpec, carried: Array) -> tuple[Array, Array]:
    """(s, top magnitude): s from this step, or the carried one once it is above 0."""
    largest = gradient_top(g, formats.gradient_clip)
    now = gradient_scale(largest)
    return (jnp.where(carried > 0, carried, now) if formats.gradient_scale == "carried" else now), largest


class Levels(NamedTuple):
    """Radix-4 levels of a gradient.

    Attributes:
        mean: over all samples; with one sample, the levels themselves.
        samples: encodings that are averaged.
        sample: i -> levels of the i-th; made where they are used, since few engines need all.
        scale: of level 1.
    """

    mean: Array
    samples: int
    sample: Callable[[int], Array]
    scale: Array


def encode_gradient(g: Array, scale: Array, formats: FormatSpec, seed: Array, *, odd: bool, samples: int = 1) -> Levels:
    """Radix-4 levels of g.

    Args:
        scale: s. seed: for stochastic rounding.
        odd: the second of the two quantisations (for weight_grad): with two-phase rounding it uses the grid
            2*s*4**k, with stochastic rounding draws of its own.
        samples: encodings that are to be averaged. With stochastic rounding they are a systematic sample: the share
            that rounds up is within 1/n of what it should be for every element.
    """
    if "gradients" in formats.quantise and formats.gradient_rounding == "stochastic":
        x, uniform = g / scale, noise.uniform(noise.derive(seed, int(odd)), g.shape)
        if samples == 1:
            levels = round_stochastic(x, uniform)
            return Levels(levels, 1, lambda i: levels, scale)
        mean = mean_of_roundings(x, uniform, samples)
        return Levels(mean, samples, lambda i: round_stochastic(x, shifted_draw(uniform, i, samples)), scale)
    if formats.gradient_rounding == "two_phase" and odd:
        scale = 2.0 * scale
    fixed = round_nearest(g / scale) if "gradients" in formats.quantise else g / scale
    return Levels(fixed, samples, lambda i: fixed, scale)
