"""Sites that multiply in floating point, so that interception alone is tested: values and gradients must be equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from imctrain.imc.mvm.contraction import DotSpec
from imctrain.imc.site.site import Site
from imctrain.imc.site.spec import SiteSpec
from imctrain.intercept import ImcFunction, digital_matmuls, on_imc
from imctrain.settings import Hardware


class FloatSite(Site):
    """What a `Site` offers, with an exact product (plus noise, if asked for) under the scope of the array."""

    noise = 0.0

    on_array = False
    """It meets no chip."""
    mvms = ()
    one_way = False

    def __init__(self, spec: SiteSpec):
        self.spec = spec
        self.one_way = "gradient" in (spec.lhs.kind, spec.rhs.kind)

    def init_state(self) -> dict[str, jax.Array]:
        return {"calls": jnp.zeros(()), "backward": jnp.zeros(())}

    def product(self, lhs: jax.Array, rhs: jax.Array) -> jax.Array:
        op = self.spec.op
        with jax.named_scope("imc_array"):
            if isinstance(op, DotSpec):
                return lax.dot_general(lhs, rhs, op.dimension_numbers, preferred_element_type=self.spec.dtype)
            return lax.conv_general_dilated(
                lhs,
                rhs,
                op.window_strides,
                op.padding,
                op.lhs_dilation,
                op.rhs_dilation,
                lax.ConvDimensionNumbers(*op.dimension_numbers),
                op.feature_group_count,
                op.batch_group_count,
                preferred_element_type=self.spec.dtype,
            )

    def apply(self, lhs: jax.Array, rhs: jax.Array, state: Any, key: jax.Array) -> jax.Array:
        site = self

        @jax.custom_vjp
        def run(lhs, rhs, state, key):
            out = site.product(lhs, rhs)
            return out + site.noise * jax.random.normal(key, out.shape, out.dtype) if site.noise else out

        def forward(lhs, rhs, state, key):
            return run(lhs.value, rhs.value, jax.tree.map(_value, state, is_leaf=_wrapped), key.value), (
                lhs.value,
                rhs.value,
                lhs.perturbed or rhs.perturbed,
            )

        def backward(kept, g):
            assert not site.one_way, "a one-way site is not differentiated"
            lhs, rhs, needed = kept
            g = jnp.zeros(g.shape, g.dtype) if isinstance(g, jax.custom_derivatives.SymbolicZero) else g
            _, pullback = jax.vjp(site.product, lhs, rhs)
            telemetry = {"calls": jnp.ones(()), "backward": jnp.asarray(needed, jnp.float32)}
            return (*(pullback(g) if needed else (None, None)), telemetry, None)

        run.defvjp(forward, backward, symbolic_zeros=True)
        return run(lhs, rhs, state, key)

    def update(self, state: Any, grad: Any) -> tuple[Any, dict[str, Any]]:
        return state, dict(grad)


class NoisySite(FloatSite):
    """Adds unit noise, drawn from the key that the interpreter gives it."""

    noise = 1.0


def install(monkeypatch: pytest.MonkeyPatch, kind: type[FloatSite] = FloatSite) -> None:
    """Make interception put its matmuls on these sites."""
    monkeypatch.setattr("imctrain.intercept.resolve.make_site", kind)


def transformed(fn: Callable[..., Any], **options: Any) -> ImcFunction:
    return on_imc(fn, Hardware(), **options)


def assert_same(fn: Callable[..., Any], *args: Any, sites: int, atol: float = 1e-5, **kwargs: Any) -> ImcFunction:
    """Value and gradient of every inexact leaf agree with the untouched function's, and no matmul is left outside."""
    imc = transformed(fn)
    flat, tree = jax.tree.flatten(args)
    inexact = [i for i, leaf in enumerate(flat) if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)]

    def loss(call: Callable[..., Any]) -> Callable[..., Any]:
        def scalar(leaves: list[Any]) -> jax.Array:
            full = list(flat)
            for i, leaf in zip(inexact, leaves, strict=True):
                full[i] = leaf
            out = call(*jax.tree.unflatten(tree, full), **kwargs)
            return sum(jnp.sum(jnp.sin(jnp.asarray(leaf, jnp.float32))) for leaf in jax.tree.leaves(out))

        return scalar

    leaves = [jnp.asarray(flat[i]) for i in inexact]
    key = jax.random.key(7)
    step = jax.value_and_grad(loss(lambda *a, **k: imc(*a, key=key, **k)))
    expected = jax.jit(jax.value_and_grad(loss(fn)))(leaves)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol), jax.jit(step)(leaves), expected)
    assert digital_matmuls(step, leaves) == []
    assert len(imc.ledger(*args, **kwargs)) == sites
    return imc


def _wrapped(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _value(leaf: Any) -> Any:
    return leaf.value
