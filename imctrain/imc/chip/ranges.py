"""Policies for the ADC's reference range R, from each pass's running statistics.

A pass needs |mean(v)| + headroom * std(v) of range. `needed` is the running value of that; where more than
`CLIP_LIMIT` of the conversions clip, the codes understate what is needed, so it is taken as twice the present R.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from imctrain.settings import AdcSpec

CLIP_LIMIT = 1e-3
SILENT = 1e-6
MEMORY = 0.9
"""Weight of the past in the running need; a larger need is taken over at once."""


def possible(adc: AdcSpec) -> tuple[float, ...]:
    """Every R that the policy may choose, largest first."""
    if adc.range_policy == "fixed":
        return (adc.range,)
    if adc.range_policy == "two_level":
        return tuple(sorted({adc.range, adc.low_range}, reverse=True))
    ladder = [adc.range]
    while ladder[-1] / 2.0 >= adc.min_range:
        ladder.append(ladder[-1] / 2.0)
    return tuple(ladder)


def update_needed(needed: Array, current: Array, clipped: Array, mean: Array, power: Array, adc: AdcSpec) -> Array:
    """The running need of each pass, [P], after one step's statistics (0 where nothing was seen yet)."""
    std = jnp.sqrt(jnp.maximum(power - jnp.square(mean), 0.0))
    # A pass whose codes are all zero needs less than can be told: not nothing, which would mean "not seen yet".
    now = jnp.maximum(jnp.abs(mean) + adc.headroom * std, SILENT)
    now = jnp.where(clipped > CLIP_LIMIT, jnp.maximum(now, 2.0 * current), now)
    return jnp.where(needed > 0, jnp.maximum(now, MEMORY * needed + (1.0 - MEMORY) * now), now)


def choose_range(needed: Array, adc: AdcSpec) -> Array:
    """R of each pass, [P]; `adc.range` while nothing was seen (needed = 0)."""
    if adc.range_policy == "fixed":
        return jnp.full_like(needed, adc.range)
    if adc.range_policy == "two_level":
        low = (needed > 0) & (needed <= adc.low_range)
        return jnp.where(low, adc.low_range, adc.range)
    # exp2 is not exact on every backend; a ladder of constants is.
    chosen = jnp.full_like(needed, adc.range)
    for step in possible(adc)[1:]:
        chosen = jnp.where((needed > 0) & (needed <= step), step, chosen)
    return chosen
