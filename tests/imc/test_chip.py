"""The chip as data: another die or noise level is another argument, and neither another program nor another result."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiers import slow

import imctrain
from imctrain.errors import UserError
from imctrain.intercept import Rule
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, Hardware, NoiseSpec, StatisticalSpec
from imctrain.training.network import Network
from imctrain.training.step import make_steps


@pytest.fixture(scope="module")
def key():
    return jax.random.key(5)


@pytest.fixture(scope="module")
def W():
    return jax.random.normal(jax.random.key(0), (64, 16))


@pytest.fixture(scope="module")
def X():
    return jax.nn.relu(jax.random.normal(jax.random.key(1), (32, 64)))


FIGURES = ChipSpec(sigma_array_lsb=0.6, sigma_adc_lsb=0.2, gain_std=0.02, offset_std_lsb=0.5)
CURVED = FIGURES.replace(inl_v=(-1.0, 0.0, 1.0), inl_lsb=(0.1, -0.1, 0.2))


def hardware(**settings):
    spec = {"chip": CURVED, "adc": AdcSpec(offset_conversions=16), "statistical": StatisticalSpec(inl_limit=1.0)}
    return Hardware(**(spec | settings))


def product(w, x):
    return x @ w


@pytest.mark.parametrize("path", ["exact", slow("auto"), slow("statistical")])
def test_eight_dies_in_one_vmap_are_eight_calls(path, W, X, key):
    f = imctrain.on_imc(product, hardware(path=path))
    dies = [f.chip(W, X, hardware=hardware(path=path, chip_seed=seed)) for seed in range(8)]
    run = jax.jit(lambda chip: f(W, X, key=key, chip=chip))
    single = np.stack([run(die) for die in dies])
    assert run._cache_size() == 1
    together = jax.jit(jax.vmap(lambda chip: f(W, X, key=key, chip=chip)))(jax.tree.map(lambda *d: jnp.stack(d), *dies))
    np.testing.assert_allclose(together, single, rtol=1e-5, atol=1e-5 * np.abs(single).max())
    assert len({np.round(out, 3).tobytes() for out in single}) == 8


@pytest.mark.parametrize("path", ["exact", slow("auto")])
@pytest.mark.parametrize(
    "other",
    [
        slow({"noise": NoiseSpec(sigma_lsb=1.4)}, id="sigma"),
        slow({"chip_seed": 3}, id="die"),
        pytest.param(
            {"chip": CURVED.replace(gain_std=0.05, offset_std_lsb=1.0, inl_lsb=(0.3, 0.0, -0.2), sigma_adc_lsb=0.5)},
            id="calibration",
        ),
    ],
)
def test_a_chip_that_is_given_is_that_of_its_hardware(path, other, W, X, key):
    """Output, gradients and telemetry."""
    f, g = (imctrain.on_imc(product, hardware(path=path, **changes)) for changes in ({}, other))
    chip = f.chip(W, X, hardware=g.hardware)

    def step(function, **given):
        state = function.init(W, X)

        def loss(w, x, s):
            out = function(w, x, key=key, state=s, **given)
            return jnp.sum(jnp.tanh(out)), out

        (_, out), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(W, X, state)
        return out, *gradients[:2], function.update(state, gradients[2])[1]

    for a, b in zip(jax.tree.leaves(step(f, chip=chip)), jax.tree.leaves(step(g)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(float(jnp.max(jnp.abs(b))), 1e-3))
    assert not np.allclose(f(W, X, key=key, chip=chip), f(W, X, key=key), rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"noise": NoiseSpec(sigma_lsb=0.1)}, id="too little noise"),
        pytest.param({"chip": CURVED.replace(inl_lsb=(0.0, 3.0, 0.0))}, id="INL far from a line"),
    ],
)
def test_a_chip_that_the_statistical_path_does_not_hold_for_is_exact(other, W, X, key):
    f, g = (imctrain.on_imc(product, hardware(path=path)) for path in ("statistical", "exact"))
    chip = f.chip(W, X, hardware=hardware(path="exact", **other))

    def share(function, **given):
        loss = jax.jit(jax.grad(lambda s: jnp.sum(function(W, X, key=key, state=s, **given))))
        grad = loss(function.init(W, X))
        return {key: float(value) for key, value in function.update(function.init(W, X), grad)[1]["dot"].items()}

    assert share(f)["statistical_forward"] == 1.0
    assert share(f, chip=chip)["statistical_forward"] == 0.0
    np.testing.assert_array_equal(f(W, X, key=key, chip=chip), g(W, X, key=key, chip=chip))


def test_rules_apply_to_a_chip_and_float_sites_have_none(W, X, key):
    def net(w, x):
        with jax.named_scope("a"):
            y = x @ w
        with jax.named_scope("b"):
            z = y.T @ x
        with jax.named_scope("c"):
            return z @ w

    rules = [Rule("a", path="float"), Rule("b", overrides={"noise.scale": 2.0}), Rule("c", path="digital")]
    f = imctrain.on_imc(net, hardware(), rules)
    chip = f.chip(W, X)
    assert list(chip) == ["b"]
    assert float(chip["b"].sigma_adc) == pytest.approx(0.4)
    assert f(W, X, key=key, chip=chip).shape == (16, 16)


def test_what_is_no_chip_of_the_function_is_one_line(W, X, key):
    f = imctrain.on_imc(product, hardware())
    plain = imctrain.on_imc(product, hardware(chip=FIGURES, noise=NoiseSpec(mismatch=False)))
    with pytest.raises(UserError, match="site dot: its chip has other parts than the hardware"):
        f.chip(W, X, hardware=plain.hardware)
    with pytest.raises(UserError, match=r"gain of its chip has shape \(4, 256\), the hardware has \(16, 256\)"):
        f.chip(W, X, hardware=hardware(array=ArraySpec(macros=4)))
    with pytest.raises(UserError, match="the chip lacks site 'dot': make it with chip"):
        f(W, X, key=key, chip={})
    with pytest.raises(UserError, match="the chip has site 'dut'"):
        f(W, X, key=key, chip={**f.chip(W, X), "dut": f.chip(W, X)["dot"]})


@pytest.mark.slow
def test_a_sweep_over_noise_dies_and_seeds_compiles_one_program(tmp_path):
    """Runs of their own, as trials are: the first compiles, the others find its program in the cache."""
    found = {"hits": 0, "misses": 0}

    def listen(event, **_):
        if event.startswith("/jax/compilation_cache/cache_"):
            found[event.rpartition("_")[2]] = found.get(event.rpartition("_")[2], 0) + 1

    images = jax.ShapeDtypeStruct((8, 8, 8, 1), jnp.float32)
    batch = jnp.ones(images.shape), jnp.zeros(8, jnp.int32)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    jax.monitoring.register_event_listener(listen)
    try:
        losses = []
        for seed, changes in enumerate(
            ({}, {"noise": NoiseSpec(sigma_lsb=1.0)}, {"chip_seed": 4}, {"chip": CURVED.replace(gain_std=0.05)})
        ):
            network = Network("mlp", shape=(8, 8, 1), classes=10, width=8, seed=0)
            spec = hardware(path="auto", **changes)
            steps = make_steps(network, optax.sgd(0.1), images=images, seed=seed, label_smoothing=0.0, hardware=spec)
            compiled = steps.train.lower(steps.initial, *batch)
            before_this = dict(found)
            compiled.compile()
            new = {key: found[key] - before_this[key] for key in found}
            assert new["misses"] == (1 if seed == 0 else 0), (seed, new)
            losses.append(float(steps.train(steps.initial, *batch)[1]["loss"]))
        assert len(set(losses)) == 4
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        jax.monitoring.unregister_event_listener(listen)


@pytest.mark.slow
def test_the_example_of_the_documentation(W, X, key):
    """docs/simulation.md, "Dies and noise levels are data", word by word."""
    page = (Path(imctrain.__file__).parents[1] / "docs" / "simulation.md").read_text(encoding="utf-8")
    example = page.split("## Dies and noise levels are data")[1].split("```python")[1].split("```")[0]
    here = {"jax": jax, "jnp": jnp, "imctrain": imctrain, "w": W, "x": X, "key": key}
    exec(example.replace("outputs = jax.vmap", "together = jax.vmap"), here)
    assert here["run"]._cache_size() == 1
    np.testing.assert_allclose(here["together"], np.stack(here["outputs"]), rtol=1e-4, atol=1e-3)
