"""`ImcFunction.check`: what jit can neither refuse nor say, from a report on the host."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imctrain.errors import HardwareWarning, UserError
from imctrain.imc.forecast.health import PATIENCE
from imctrain.intercept import on_imc
from imctrain.settings import AdcSpec, ArraySpec, Hardware, NoiseSpec

W, X = jnp.ones((64, 8)) / 8, jnp.ones((16, 64))
NOISE = NoiseSpec(sigma_adc_lsb=0.6)


def function(path="exact", array=None, polarity="auto", range_policy="fixed"):
    array = array or ArraySpec(replicate=False)
    adc = AdcSpec(range_policy=range_policy, polarity=polarity)
    made = on_imc(lambda w, x: jnp.tanh(x) @ w, Hardware(path=path, noise=NOISE, array=array, adc=adc))
    made.init(W, X)
    return made


def report(clipped=0.0, snr=20.0, mvms=("forward", "weight_grad")):
    quantities = {"clipped": clipped, "snr_db": snr, "range": 1.0, "statistical": 1.0}
    return {"dot": {f"{key}_{mvm}": jnp.float32(value) for mvm in mvms for key, value in quantities.items()}}


def test_a_statistical_site_that_goes_on_clipping_is_refused():
    f = function("statistical", polarity="bipolar")
    for _ in range(PATIENCE - 1):
        f.check(report(clipped=0.12))
    with pytest.raises(UserError, match=r"site dot, forward: 12% of conversions clip, so the stat"):
        f.check(report(clipped=0.12))
    with pytest.raises(UserError, match=r"\(statistical\.clip_limit is 0\.2%\): use path = 'auto' or 'exact'"):
        function("statistical", polarity="bipolar").check(report(clipped=0.12), patience=1)


def test_a_step_that_clips_now_and_then_is_no_sign_of_anything():
    f = function("statistical", polarity="bipolar")
    for _ in range(5):
        f.check(report(clipped=0.01))
        f.check(report(clipped=0.01))
        f.check(report(clipped=0.001))


@pytest.mark.parametrize("path", ["auto", "exact"])
def test_other_paths_may_clip(path):
    f = function(path)
    for _ in range(PATIENCE + 1):
        f.check(report(clipped=0.12))


def test_a_signal_on_its_floor_is_told_once_for_each_mvm():
    f = function()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(PATIENCE - 1):
            f.check(report(snr=-60.0))
        f.check(report(snr=-10.0))
        for _ in range(PATIENCE - 1):
            f.check(report(snr=-60.0, mvms=("forward",)))
        assert told == []
        for _ in range(4):
            f.check(report(snr=-60.0))
    assert [w.category for w in told] == [HardwareWarning] * 2
    assert [w.filename for w in told] == [__file__] * 2
    first, second = (str(w.message) for w in told)
    assert first.startswith("no signal above the converter's step and noise at site dot, forward: set ")
    assert second.startswith("no signal above the converter's step and noise at site dot, weight_grad: set ")


def test_an_mvm_that_did_not_run_is_not_silent():
    f = function()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(PATIENCE + 1):
            f.check(report(snr=np.nan))


def test_reports_that_a_scan_stacked_are_judged_one_after_the_other():
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *[report(snr=-60.0)] * PATIENCE)
    with pytest.warns(HardwareWarning, match="site dot, forward and weight_grad"):
        function().check(stacked)


def test_reports_that_are_traced_are_refused():
    f = function()

    @jax.jit
    def step(values):
        f.check(values)
        return values

    with pytest.raises(UserError, match="check got reports that are being traced: call it outside of jit"):
        step(report())


def test_reports_of_other_sites_and_a_wrong_patience_are_refused():
    f = function()
    with pytest.raises(UserError, match="the reports have site 'dott', which the function has not; nearest: dot"):
        f.check({"dott": {}})
    with pytest.raises(UserError, match="patience = 0"):
        f.check(report(), patience=0)


@pytest.mark.slow
@pytest.mark.no_leak_checks("compiles a training step")
def test_a_loop_on_hardware_that_trains_nothing_is_told_why():
    rng = np.random.default_rng(0)
    x = jnp.asarray(np.maximum(rng.standard_normal((64, 64)), 0), jnp.float32)
    params = {"a": jnp.asarray(rng.standard_normal((64, 32)) / 8, jnp.float32)}
    params |= {"b": jnp.asarray(rng.standard_normal((32, 10)) / 8, jnp.float32)}

    def loss(p, x):
        return jnp.mean(jnp.square(jax.nn.relu(x @ p["a"]) @ p["b"]))

    plain = Hardware(adc=AdcSpec(range_policy="fixed"), array=ArraySpec(replicate=False))
    f = on_imc(loss, plain)
    state = f.init(params, x)

    @jax.jit
    def step(params, state, key):
        gradient, telemetry = jax.grad(lambda p, s: f(p, x, key=key, state=s), argnums=(0, 1))(params, state)
        return gradient, *f.update(state, telemetry)

    for i in range(PATIENCE - 1):
        gradient, state, reports = step(params, state, jax.random.key(i))
        f.check(reports)
    gradient, state, reports = step(params, state, jax.random.key(PATIENCE))
    with pytest.warns(HardwareWarning, match=r"no signal .* set adc\.range_policy = 'per_site'"):
        f.check(reports)
    assert not np.any(gradient["a"])
