"""The custom derivative rule of a site: what JAX calls, and what is kept between its halves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from imctrain.errors import UserError
from imctrain.imc.site.backward import run_backward
from imctrain.imc.site.first_order import differentiated_once
from imctrain.imc.site.forward import Residuals, run_forward, run_one_way
from imctrain.imc.site.mvms import SiteMvms
from imctrain.imc.site.own_settings import promotes_ranks
from imctrain.imc.site.state import SiteState

Apply = Callable[[Array, Array, SiteState, Array], Array]
Kept = tuple[Residuals, SiteState, Array]


def differentiable(site: SiteMvms) -> Apply:
    """(lhs, rhs, state, seed) -> product in float32, with the site's gradient MVMs as its backward rule."""
    guarded = differentiated_once(site.spec.name)

    @jax.custom_vjp
    def apply(lhs: Array, rhs: Array, state: SiteState, seed: Array) -> Array:
        return _product(site, lhs, rhs, state, seed)

    # Arguments of the rule are values beside a flag, for which JAX has no type.
    def forward(lhs: Any, rhs: Any, state: Any, seed: Any) -> tuple[Array, Kept]:
        if site.spec.one_way:
            raise UserError(
                f"site {site.spec.name}: a product with a gradient, in a derivative that the function takes itself "
                "or in a custom backward rule, cannot be differentiated again on the array: leave it to a rule "
                "with path = 'float'"
            )
        values = jax.tree.map(lambda leaf: leaf.value, (lhs, rhs, state, seed), is_leaf=_is_primal)
        out, residuals = _forward(site, *guarded(values))
        # Residuals that no gradient needs are dropped. The structure stays: JAX keeps one for all traces of a call,
        # and would read what it saved for one operand's gradient as what the other's needs.
        needs = (lhs.perturbed, rhs.perturbed)
        kept = residuals._replace(
            codes=_only(residuals.codes, needs[::-1]),
            inside=_only(residuals.inside, needs),
        )
        return out, (kept, values[2], values[3])

    def backward(residuals: Kept, g: Any) -> tuple[Array | None, Array | None, SiteState, None]:
        kept, state, seed = residuals
        kept = kept._replace(codes=_restored(kept.codes), inside=_restored(kept.inside))
        if isinstance(g, jax.custom_derivatives.SymbolicZero):
            g = jnp.zeros(g.shape, g.dtype)
        g, kept, state = guarded((g, kept, state))
        return (*_backward(site, g, kept, state, seed), None)

    apply.defvjp(forward, backward, symbolic_zeros=True)
    return apply


_forward = promotes_ranks(run_forward)
_backward = promotes_ranks(run_backward)


@promotes_ranks
def _product(site: SiteMvms, lhs: Array, rhs: Array, state: SiteState, seed: Array) -> Array:
    if site.spec.one_way:
        return run_one_way(site, lhs, rhs, state, seed)
    return run_forward(site, lhs, rhs, state, seed)[0]


Pair = tuple[Array | None, Array | None]


def _is_primal(leaf: object) -> bool:
    return hasattr(leaf, "perturbed")


def _only(pair: Pair, needed: tuple[bool, bool]) -> Pair:
    """Empty arrays in place of residuals that are not needed; what is None, whatever is differentiated, stays None."""
    first, second = (
        residual if need or residual is None else jnp.zeros((0,), residual.dtype)
        for residual, need in zip(pair, needed, strict=True)
    )
    return first, second


def _restored(pair: Pair) -> Pair:
    first, second = (None if residual is None or residual.size == 0 else residual for residual in pair)
    return first, second
