"""The backward half of a site: the output's gradient to levels, the two gradient MVMs, and the state's cotangent."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from imctrain.imc.chip import random_numbers as noise
from imctrain.imc.coding.levels import Levels, encode_gradient, rounding, scale_of_gradient
from imctrain.imc.engines.kernels import preserved_sums
from imctrain.imc.site.forward import ROUNDING, Residuals
from imctrain.imc.site.mvms import SiteMvms
from imctrain.imc.site.state import SiteState, Telemetry

Gradients = tuple[Array | None, Array | None, SiteState]


def run_backward(site: SiteMvms, g: Array, kept: Residuals, state: SiteState, seed: Array) -> Gradients:
    """(d lhs, d rhs, cotangent of the state); None for a gradient that nothing needs."""
    formats = site.spec.hardware.formats
    # One forward pass may have several backward passes (jacrev maps them): each needs noise of its own.
    seed = noise.per_element(seed, g)
    scale, largest = scale_of_gradient(g, formats, state.gradient_scale)
    mvms = dict(jax.tree.map(jnp.zeros_like, state.telemetry.mvms)) | {"forward": kept.forward}
    gradients: list[Array | None] = [None, None]
    clip_gradients = [jnp.zeros((), jnp.float32)] * 2
    encoded_once: dict[bool, Levels] = {}
    for side, product in ((0, "lhs_grad"), (1, "rhs_grad")):
        other = kept.codes[1 - side]
        if other is None:
            continue
        mvm = "input_grad" if site.product_of("input_grad") == product else "weight_grad"
        odd = mvm == "weight_grad" and rounding(formats).encodes_twice
        if odd not in encoded_once:
            samples = site.plans[mvm].samples
            encoded_once[odd] = encode_gradient(
                g, scale, formats, noise.derive(seed, ROUNDING), odd=odd, samples=samples
            )
        levels, stored = encoded_once[odd], other.astype(jnp.float32)
        ran = site.execute(mvm, levels, stored, state, seed)
        total = ran.reading.product
        if mvm == "weight_grad" and formats.preserve_sums:
            total = total + _lost_sums(site, g, levels, stored, state, seed)
        gradient = total * (levels.scale * kept.scales[1 - side])
        signs, inside = kept.signs[side], kept.inside[side]
        if signs is not None:
            clip_gradients[side] = jnp.sum(gradient * signs.astype(jnp.float32))
        gradients[side] = gradient if inside is None else jnp.where(inside, gradient, 0.0)
        mvms[mvm] = site.telemetry(mvm, ran, state)
    cotangent = SiteState(
        needed_range=jax.tree.map(jnp.zeros_like, state.needed_range),
        clipped=jax.tree.map(jnp.zeros_like, state.clipped),
        gradient_scale=jnp.zeros((), jnp.float32),
        clips=jnp.stack(clip_gradients),
        telemetry=Telemetry(mvms, largest, kept.statistics),
        chip=jax.tree.map(jnp.zeros_like, state.chip),
    )
    return gradients[0], gradients[1], cotangent


def _lost_sums(site: SiteMvms, g: Array, levels: Levels, stored: Array, state: SiteState, seed: Array) -> Array:
    """What the levels lose of each channel's summed gradient, given back (see `preserved_sums`)."""
    lost, unused = g / levels.scale - levels.mean, state.needed_range["weight_grad"]
    return site.gradient_mvm(site.plans["weight_grad"], preserved_sums, lost, stored, unused, seed).product
