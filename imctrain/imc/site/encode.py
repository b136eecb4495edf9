"""Encoding of a site's weights and activations: floats to integer codes with their digital scales."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from imctrain.formats.clips import clip_policy
from imctrain.formats.clips.base import Clip
from imctrain.formats.clips.least_error import error_curve, least_error_with_noise
from imctrain.formats.clips.noise_aware import levels, lowering
from imctrain.imc.mvm.operand import OperandInfo, integer_format, is_encoded
from imctrain.imc.mvm.plan import MvmPlan
from imctrain.settings import FormatSpec

Clips: TypeAlias = Float[Array, " 2"]
"""Of the left and the right operand."""


class Encoded(NamedTuple):
    """codes (float32 integers), the scale of one code, the clip alpha, and its statistic (what alpha starts from)."""

    codes: Array
    scale: Array
    clip: Array
    statistic: Array


def encode_pair(
    operands: tuple[Array, Array],
    infos: tuple[OperandInfo, OperandInfo],
    formats: FormatSpec,
    learned_clips: Array,
    noisy: tuple[MvmPlan, Array] | None = None,
) -> tuple[Encoded, Encoded]:
    """Integer codes of a driven and a stored operand.

    Args:
        operands, infos: driven, stored. learned_clips: of both, [2]; used by "pact" once they are above 0.
        noisy: the plan of the MVM whose noise counts, and R of its passes, [P]; None where no noise counts.
    """
    if noisy is None or not formats.noise_aware:
        clips: tuple[Array | None, Array | None] = (None, None)
        lowered: tuple[Array | float, Array | float] = (1.0, 1.0)
    elif formats.weight_clip == "least_error":
        kinds = integer_format(infos[0], formats), integer_format(infos[1], formats)
        curves = [error_curve(x, fmt) for x, fmt in zip(operands, kinds, strict=True)]
        tops = kinds[0].top, kinds[1].top
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
    """Integer codes of a weight or an activation.

    Args:
        learned_clip: used by "pact" once it is above 0. lowered: multiplies a clip from statistics (`clip_lowering`).
        known: the clip from statistics, where it is known already.

    An operand that is not quantised (`formats.quantise`) keeps its values: its codes are x / scale, nothing saturates.
    """
    fmt, policy = integer_format(info, formats), policy_of(info, formats)
    chosen = policy.statistic(x, fmt) if known is None else known
    scaled = formats.weight_clip_scale if info.kind == "weight" else formats.activation_clip_scale
    statistic = scaled * lowered * chosen
    clip = jnp.where(learned_clip > 0, learned_clip, statistic) if policy.learned else statistic
    codes, scale = fmt.quantise(x, clip)
    if not is_encoded(info, formats):
        codes = x / scale
    return Encoded(codes, scale, clip, statistic)


def policy_of(info: OperandInfo, formats: FormatSpec) -> Clip:
    """The clip policy of a weight or an activation."""
    return clip_policy(formats.weight_clip if info.kind == "weight" else formats.activation_clip)


def _noise_an_element(plan: MvmPlan, ranges: Array) -> Array:
    """Noise variance of an MVM's integer product over the elements that it contracts, scalar."""
    return plan.output_noise_power(ranges) / plan.contraction


def clip_lowering(plan: MvmPlan, driven: OperandInfo, stored: OperandInfo, ranges: Array) -> tuple[Array, Array]:
    """What the clips of the driven and of the stored operand are multiplied by, scalars (see `clips.noise_aware`).

    Args:
        plan: of the MVM whose noise counts. ranges: R of its passes, [P].
    """
    nu = _noise_an_element(plan, ranges)
    kinds = integer_format(driven, plan.hardware.formats), integer_format(stored, plan.hardware.formats)
    tables, noise = lowering(*kinds), levels(*kinds)
    # The grid is logarithmic, and so is the interpolation; below its first level the clips differ by less than 1 %.
    grid = np.log(noise[1:]).astype(np.float32)
    at = jnp.log(jnp.maximum(nu, float(noise[1])))
    first, second = (jnp.interp(at, jnp.asarray(grid), jnp.asarray(table[1:])) for table in tables)
    return first, second


def passes_gradient(x: Array, clip: Array, info: OperandInfo, formats: FormatSpec) -> Array | None:
    """Where an activation's gradient passes (bool), or None for everywhere (weights are never masked)."""
    masked = info.kind != "weight" and is_encoded(info, formats)
    return integer_format(info, formats).inside_clip(x, clip) if masked else None


def clip_signs(x: Array, clip: Array, info: OperandInfo, formats: FormatSpec) -> Array | None:
    """Which way a learned clip moves an element: int8 in {-1, 0, 1}, or None where no clip is learned."""
    if not policy_of(info, formats).learned or not is_encoded(info, formats):
        return None
    return jnp.where(jnp.abs(x) > clip, jnp.sign(x), 0.0).astype(jnp.int8)


def next_clips(clips: Clips, gradient: Clips, statistics: Clips, formats: FormatSpec) -> Clips:
    """Learned clips after one step: the first step takes the statistics, later ones descend the gradient; [2] each.

    The step is relative to the clip (alpha * exp(-rate * ...) to first order), so that one rate fits all sites.
    """
    if not clip_policy(formats.activation_clip).learned:
        return clips
    slope = jnp.clip(gradient, -1.0, 1.0) + formats.pact_decay * clips
    return jnp.where(clips > 0, clips * (1.0 - formats.pact_learning_rate * slope), statistics)
