"""Codes that are driven and stored: counted where asked for, and nothing else changes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import slow

from imctrain import Hardware, on_imc
from imctrain.imc.coding.levels import encode_gradient, scale_of_gradient
from imctrain.settings import ArraySpec, ChipSpec, FormatSpec, MappingSpec


@pytest.fixture
def operands():
    keys = jax.random.split(jax.random.key(3), 2)
    return jax.random.normal(keys[0], (60, 24)), jax.nn.relu(jax.random.normal(keys[1], (40, 60)))


def product(w, x):
    return jnp.sum(jnp.tanh(jax.nn.relu(x) @ w))


def step(hardware, operands):
    f = on_imc(product, hardware)
    state = f.init(*operands)
    run = jax.jit(jax.value_and_grad(lambda w, s: f(w, operands[1], key=jax.random.key(1), state=s), argnums=(0, 1)))
    value, (gradient, telemetry) = run(operands[0], state)
    _, reports = f.update(state, telemetry)
    return f, value, gradient, reports["dot"]


@pytest.mark.parametrize("path", [slow("exact"), slow("statistical"), slow("auto"), "digital"])
def test_counting_changes_no_result(path, operands):
    hardware = Hardware(path=path, chip=ChipSpec(sigma_array_lsb=0.7))
    _, value, gradient, report = step(hardware, operands)
    _, counted_value, counted_gradient, counted = step(hardware.replace(count_codes=True), operands)
    assert value == counted_value
    np.testing.assert_array_equal(gradient, counted_gradient)
    extra = {f"{name}_{mvm}" for name in ("driven", "swing", "cells_on") for mvm in ("forward", "weight_grad")}
    assert {key for key in counted if key not in report and np.isfinite(counted[key])} == (
        extra if path != "digital" else set()
    )


@pytest.mark.parametrize("cell", ["and", slow("xnor")])
def test_the_codes_are_those_of_the_operands(cell, operands):
    hardware = Hardware(
        array=ArraySpec(cell=cell),
        mapping=MappingSpec(gradient="balanced"),
        formats=FormatSpec(gradient_rounding="nearest"),
        count_codes=True,
    )
    f, _, _, report = step(hardware, operands)
    site, (w, x) = f.site("dot"), operands
    driven, stored = site.encode(x, w, f.init(*operands)["dot"])
    forward = next(plan for plan in site.mvms if plan.name == "forward")
    backward = next(plan for plan in site.mvms if plan.name == "weight_grad")
    levels_forward = np.abs(np.asarray(forward.mapping.drive(driven.codes)))
    cells = np.asarray(forward.coding.encode(stored.codes, 0))
    np.testing.assert_allclose(report["driven_forward"], (levels_forward > 0).sum(0).mean(), rtol=1e-5)
    np.testing.assert_allclose(report["swing_forward"], levels_forward.mean() / 16, rtol=1e-5)
    np.testing.assert_allclose(report["cells_on_forward"], (cells > 0).mean(), rtol=1e-5)
    # The gradient at the site's output, on the array's own product.
    tapped = jax.jit(jax.value_and_grad(lambda added: f.tapped(w, x, key=jax.random.key(1), added={"dot": added})[0]))
    out, g = tapped(jnp.zeros((40, 24)))
    assert np.isfinite(out)
    scale, _ = scale_of_gradient(g, hardware.formats, jnp.zeros(()))
    levels = encode_gradient(g, scale, hardware.formats, jnp.zeros((), jnp.uint32), odd=True).mean
    codes = np.abs(np.asarray(backward.mapping.drive(levels)))
    np.testing.assert_allclose(report["driven_weight_grad"], (codes > 0).sum(0).mean(), rtol=1e-5)
    np.testing.assert_allclose(report["swing_weight_grad"], codes.mean() / 16, rtol=1e-5)
    stored_x = np.asarray(backward.coding.encode(driven.codes, 0))
    np.testing.assert_allclose(report["cells_on_weight_grad"], (stored_x > 0).mean(), rtol=1e-5)


@pytest.mark.slow
def test_a_mean_over_executions_is_reported(operands):
    w, x = operands

    def twice(w, x):
        return jax.lax.scan(lambda c, one: (c + jnp.sum(one @ w), None), 0.0, jnp.stack([x, jnp.zeros_like(x)]))[0]

    f = on_imc(twice, Hardware(count_codes=True))
    state = f.init(w, x)
    telemetry = jax.jit(jax.grad(lambda s: f(w, x, key=jax.random.key(1), state=s)))(state)
    _, reports = f.update(state, telemetry)
    (report,) = reports.values()
    once = on_imc(lambda w, x: jnp.sum(x @ w), Hardware(count_codes=True))
    state = once.init(w, x)
    alone_telemetry = jax.jit(jax.grad(lambda s: once(w, x, key=jax.random.key(1), state=s)))(state)
    _, alone = once.update(state, alone_telemetry)
    # The second of two executions drives nothing.
    np.testing.assert_allclose(report["driven_forward"], alone["dot"]["driven_forward"] / 2, rtol=1e-5)
