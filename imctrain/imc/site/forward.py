"""The forward half of a site: operands to codes, the forward MVM, and what the backward half needs of it."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.coding.levels import encode_gradient, fixed_levels, scale_of_gradient
from imctrain.imc.mvm.operand import OperandInfo, integer_format, is_encoded
from imctrain.imc.site.encode import Encoded, clip_signs, encode_integer, encode_pair, passes_gradient
from imctrain.imc.site.mvms import SiteMvms
from imctrain.imc.site.state import MvmTelemetry, SiteState

ROUNDING = 1
"""Purpose that a site's seed is derived for: stochastic rounding. 0 is the array."""


class Residuals(NamedTuple):
    """What the forward half keeps; pairs are of (lhs, rhs).

    Attributes:
        codes, scales: of the operands. statistics: what clips start from, [2].
        inside: where a gradient passes the clip; None for everywhere. signs: which way a learned clip moves an element.
        forward: telemetry of the forward MVM.
    """

    codes: tuple[Array | None, Array | None]
    scales: tuple[Array, Array]
    statistics: Float[Array, " 2"]
    inside: tuple[Array | None, Array | None]
    signs: tuple[Array | None, Array | None]
    forward: MvmTelemetry


def encode(site: SiteMvms, lhs: Array, rhs: Array, state: SiteState) -> tuple[Encoded, Encoded]:
    """Codes of lhs and rhs, see `Site.encode`."""
    spec = site.spec
    order = (0, 1) if spec.driven == "lhs" else (1, 0)
    operands, infos = (lhs, rhs), (spec.lhs, spec.rhs)
    digital = site.plans["forward"].is_digital
    encoded = encode_pair(
        (operands[order[0]], operands[order[1]]),
        (infos[order[0]], infos[order[1]]),
        spec.hardware.formats,
        state.clips[jnp.array(order)],
        None if digital else (site.live("forward", state), site.ranges("forward", state)),
    )
    return encoded[order[0]], encoded[order[1]]


def run_forward(site: SiteMvms, lhs: Array, rhs: Array, state: SiteState, seed: Array) -> tuple[Array, Residuals]:
    """(product, residuals) of a site that has a derivative."""
    spec, formats = site.spec, site.spec.hardware.formats
    encoded = encode(site, lhs, rhs, state)
    driven, stored = encoded if spec.driven == "lhs" else encoded[::-1]
    ran = site.execute("forward", fixed_levels(driven.codes, driven.scale), stored.codes, state, seed)
    out = ran.reading.product * (encoded[0].scale * encoded[1].scale)
    (a, b), (left, right) = encoded, (spec.lhs, spec.rhs)
    kept = Residuals(
        codes=(_small(a, site, left), _small(b, site, right)),
        scales=(a.scale, b.scale),
        statistics=jnp.stack([a.statistic, b.statistic]),
        inside=(passes_gradient(lhs, a.clip, left, formats), passes_gradient(rhs, b.clip, right, formats)),
        signs=(clip_signs(lhs, a.clip, left, formats), clip_signs(rhs, b.clip, right, formats)),
        forward=site.telemetry("forward", ran, state),
    )
    return out, kept


def _small(encoded: Encoded, site: SiteMvms, info: OperandInfo) -> Array:
    """Codes in their storage dtype."""
    formats = site.spec.hardware.formats
    kept = is_encoded(info, formats)
    return encoded.codes.astype(integer_format(info, formats).dtype) if kept else encoded.codes


def run_one_way(site: SiteMvms, lhs: Array, rhs: Array, state: SiteState, seed: Array) -> Array:
    """The product of a gradient inside a custom backward rule and a weight or an activation."""
    spec, formats = site.spec, site.spec.hardware.formats
    driven, stored = (lhs, rhs) if spec.driven == "lhs" else (rhs, lhs)
    scale, _ = scale_of_gradient(driven, formats, state.gradient_scale)
    levels = encode_gradient(driven, scale, formats, noise.derive(seed, ROUNDING), odd=False)
    encoded = encode_integer(stored, spec.stored_info, formats, jnp.zeros((), jnp.float32))
    ran = site.execute("forward", levels, encoded.codes, state, seed)
    return ran.reading.product * (levels.scale * encoded.scale)
