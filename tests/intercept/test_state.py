"""State in, telemetry out; programs are traced once; the ledger says what runs how often."""

from __future__ import annotations

import subprocess
import sys

import intercept_float_sites
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from intercept_float_sites import transformed
from jax import lax

from imctrain.errors import UserError
from imctrain.intercept import Rule, count_matmuls, digital_matmuls, on_imc
from imctrain.settings import Hardware

pytestmark = pytest.mark.leak_checks

W, X = jnp.ones((4, 4)) / 4, jnp.ones((3, 4))


@pytest.fixture(autouse=True)
def _float_sites(monkeypatch):
    intercept_float_sites.install(monkeypatch)


def everywhere(w, x):
    with jax.named_scope("plain"):
        y = x @ w
    with jax.named_scope("scanned"):
        y = lax.scan(lambda c, _: (jax.checkpoint(lambda v: v @ w)(c), None), y, None, length=5)[0]
    with jax.named_scope("taken"):
        y = lax.cond(jnp.sum(y) > -9, lambda v: v @ w, lambda v: v, y)
    with jax.named_scope("left"):
        y = lax.cond(jnp.sum(y) < -9, lambda v: v @ w, lambda v: v, y)
    with jax.named_scope("mapped"):
        return jnp.sum(jax.vmap(lambda row: row @ w)(y))


def test_telemetry_adds_up_over_executions(key):
    imc = transformed(everywhere)
    state = imc.init(W, X)
    seen = jax.jit(jax.grad(lambda w, s: imc(w, X, key=key, state=s), argnums=1))(W, state)
    calls = {name: float(entry["calls"]) for name, entry in seen.items()}
    assert calls == {"plain": 1, "scanned": 5, "taken": 1, "left": 0, "mapped": 1}
    ledger = imc.ledger(W, X)
    assert {e.name: e.executions for e in ledger} == {"plain": 1, "scanned": 5, "taken": 1, "left": 1, "mapped": 1}
    assert {e.name for e in ledger if e.conditional} == {"taken", "left"}


@pytest.mark.slow
def test_telemetry_adds_up_over_a_batch_mapped_outside(key):
    imc = transformed(everywhere)
    state = imc.init(W, X)
    xs = jnp.ones((6, 3, 4))
    mapped = lambda s: jnp.sum(jax.vmap(lambda x: imc(W, x, key=key, state=s))(xs))  # noqa: E731
    assert float(jax.grad(mapped)(state)["scanned"]["calls"]) == 30


def test_update_maps_over_sites_and_state_is_optional(key):
    imc = transformed(everywhere)
    state = imc.init(W, X)
    assert state.keys() == {"plain", "scanned", "taken", "left", "mapped"}
    new, reports = imc.update(state, jax.tree.map(jnp.ones_like, state))
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert float(reports["plain"]["calls"]) == 1
    assert jnp.array_equal(imc(W, X, key=key), imc(W, X, key=key, state=state))


def test_init_takes_shapes_and_leaves_out_float_sites():
    imc = on_imc(everywhere, Hardware(), [Rule("plain", path="float")])
    shapes = jax.ShapeDtypeStruct((4, 4), jnp.float32), jax.ShapeDtypeStruct((3, 4), jnp.float32)
    assert imc.init(*shapes).keys() == {"scanned", "taken", "left", "mapped"}
    assert imc.ledger(*shapes).names == ["plain", "scanned", "taken", "left", "mapped"]
    assert [e.name for e in imc.ledger(*shapes).sites] == ["scanned", "taken", "left", "mapped"]


def test_a_state_of_another_function_is_an_error(key):
    imc = transformed(everywhere)
    state = imc.init(W, X)
    with pytest.raises(UserError, match="lacks site 'left'"):
        imc(W, X, key=key, state={name: value for name, value in state.items() if name != "left"})
    with pytest.raises(UserError, match="has site 'scaned', which the function has not; nearest: scanned"):
        imc.update({**state, "scaned": {}}, state)
    with pytest.raises(UserError, match="lacks site"):
        imc.update(state, {})


def test_a_program_is_traced_once_and_compiled_once(key):
    traces = []

    def fn(w, x, times=1):
        traces.append(times)
        return jnp.sum(x @ w) * times

    imc = transformed(fn)
    for _ in range(3):
        imc(W, X, key=key)
    assert traces == [1]
    imc(W, X, key=key, times=2)
    imc(W, X, key=key, times=2)
    imc(W, X[:2], key=key)
    assert traces == [1, 2, 1]
    step = jax.jit(jax.grad(lambda w, x, k: imc(w, x, key=k)))
    for seed in range(3):
        step(W, X, jax.random.key(seed))
    assert step._cache_size() == 1
    assert traces == [1, 2, 1]


def test_one_and_true_are_different_programs(key):
    imc = transformed(lambda w, flag: {"out": w @ w, "flag": flag})
    assert imc(W, 1, key=key)["flag"] is not True
    assert imc(W, True, key=key)["flag"] is True


def test_unhashable_static_arguments_are_traced_each_time(key):
    class Odd:
        __hash__ = None

    imc = transformed(lambda w, odd: w @ w)
    assert jnp.allclose(imc(W, Odd(), key=key), imc(W, Odd(), key=key))


def test_a_function_that_closes_over_a_tracer_is_traced_anew(key):
    def outer(scale):
        return shared(W, X, key=key) * scale

    holder = {}
    shared = transformed(lambda w, x: jnp.sum(x @ w) * holder["scale"])

    @jax.jit
    def first(scale):
        holder["scale"] = scale
        return outer(scale)

    @jax.jit
    def second(scale):
        holder["scale"] = 2 * scale
        return outer(scale)

    with jax.check_tracer_leaks(False):  # `holder` is a leak, of the kind that people write
        assert float(second(jnp.float32(3))) == 2 * float(first(jnp.float32(3)))


def test_counting_tells_array_formats_and_outside_apart():
    def fn(w, x):
        with jax.named_scope("imc_array"):
            y = jax.jit(lambda v: v @ w)(x)
            codes = jnp.ones((3, 3), jnp.int8) @ jnp.ones((3, 3), jnp.int8)
        with jax.named_scope("imc_formats"):
            y = lax.scan(lambda c, _: (c @ w, None), y, None, length=2)[0]
        with jax.named_scope("head"):
            return y @ w + jnp.sum(codes).astype(y.dtype), jnp.arange(3) @ jnp.arange(3)

    count = count_matmuls(jax.make_jaxpr(fn)(W, X))
    assert (count.array, count.formats, count.outside) == (2, 1, 1)
    assert digital_matmuls(fn, W, X) == ["head"]
    assert digital_matmuls(lambda x: lax.ragged_dot(x, W[None], jnp.array([3])), X) == ["ragged_dot_general"]
    step = jax.value_and_grad(lambda w: jnp.sum(fn(w, X)[0]))
    assert digital_matmuls(step, W)[:2] == ["head", "head#2"]


def test_counting_takes_static_leaves_as_on_imc_does(key):
    def fn(params, x, *, name, times=1, scale=None):
        assert isinstance(name, str)
        return {"out": params["act"](x @ params["w"]) * times, "name": name, "scale": scale}

    params = {"w": W, "act": jnp.tanh, "unused": None}
    assert digital_matmuls(fn, params, X, name="net", times=2) == ["dot"]
    imc = transformed(fn)
    assert digital_matmuls(lambda p, x, **k: imc(p, x, key=key, **k), params, X, name="net") == []
    shapes = {"w": jax.ShapeDtypeStruct(W.shape, W.dtype), "act": jnp.tanh}
    assert digital_matmuls(fn, shapes, X, name="net") == ["dot"]


def test_importing_the_package_is_light():
    code = "import sys, imctrain; assert 'jax' not in sys.modules; imctrain.on_imc, imctrain.Rule, imctrain.Hardware"
    subprocess.run([sys.executable, "-c", code], check=True)
    import imctrain

    assert {"on_imc", "Rule", "Hardware", "ImcFunction"} <= set(dir(imctrain))
    with pytest.raises(AttributeError, match="no attribute 'off_imc'"):
        _ = imctrain.off_imc


def test_numpy_arguments_and_low_precision(key):
    imc = transformed(lambda w, x: x @ w)
    assert jnp.allclose(imc(np.asarray(W), np.asarray(X), key=key), X @ W)
    half = imc(W.astype(jnp.bfloat16), X.astype(jnp.bfloat16), key=key)
    assert half.dtype == jnp.bfloat16


@pytest.mark.parametrize("first", ["init", "call", "ledger", "shapes"])
def test_update_of_a_function_without_sites_is_nothing(first, key):
    imc = on_imc(lambda w, x: jnp.sum(x @ w), Hardware(), [Rule("*", path="float")])
    shapes = jax.ShapeDtypeStruct(W.shape, W.dtype), jax.ShapeDtypeStruct(X.shape, X.dtype)
    {
        "init": lambda: imc.init(W, X),
        "call": lambda: imc(W, X, key=key),
        "ledger": lambda: imc.ledger(W, X),
        "shapes": lambda: imc.init(*shapes),
    }[first]()
    _, telemetry = jax.grad(lambda w, s: imc(w, X, key=key, state=s), argnums=(0, 1))(W, {})
    assert imc.update({}, telemetry) == ({}, {})
    nothing = on_imc(lambda w: 2 * w, Hardware())
    assert nothing.update(nothing.init(W), {}) == ({}, {})


def test_update_needs_a_trace_and_no_more():
    imc = transformed(lambda w, x: jnp.sum(x @ w))
    with pytest.raises(UserError, match="update came before init"):
        imc.update({}, {})
    imc.ledger(W, X)
    state = {"dot": imc.site("dot").init_state()}
    assert imc.update(state, state)[0].keys() == {"dot"}
