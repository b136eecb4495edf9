"""Networks of every framework, unchanged: equal on exact sites, trainable on the simulated array."""

from __future__ import annotations

import equinox as eqx
import flax.linen as nn
import intercept_float_sites
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from intercept_float_sites import assert_same
from tiers import slow

import imctrain
from imctrain import models
from imctrain.intercept import Rule, count_matmuls, digital_matmuls
from imctrain.settings import AdcSpec, Hardware

pytestmark = pytest.mark.leak_checks


@pytest.fixture(scope="module")
def images():
    return jax.random.normal(jax.random.key(0), (2, 8, 8, 3))


@pytest.fixture
def float_sites(monkeypatch):
    intercept_float_sites.install(monkeypatch)


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs)
        self.dense = nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        with jax.named_scope("conv"):
            x = nnx.max_pool(nnx.relu(self.norm(self.conv(x))), (2, 2), (2, 2))
        with jax.named_scope("attention"):
            x = self.attention(x.reshape(x.shape[0], -1, 4))
        with jax.named_scope("dense"):
            return self.dense(x.mean(1))


def functional(model):
    structure, params, rest = nnx.split(model, nnx.Param, ...)

    def forward(params, rest, x):
        own = nnx.merge(structure, params, rest)
        out = own(x)
        return out, nnx.split(own, nnx.Param, ...)[2]

    return forward, params, rest


@pytest.mark.usefixtures("float_sites")
def test_nnx(images):
    forward, params, rest = functional(NnxNet(nnx.Rngs(0)))
    imc = assert_same(lambda p, r, x: forward(p, r, x)[0], params, rest, images, sites=8)
    ledger = imc.ledger(params, rest, images)
    assert ledger.names == ["conv", *(["attention"] + [f"attention#{i}" for i in range(2, 7)]), "dense"]
    assert ledger["attention"].lhs.nonneg, "after ReLU and max pooling"


@pytest.mark.slow
@pytest.mark.usefixtures("float_sites")
def test_nnx_batch_statistics_come_out(images, key):
    forward, params, rest = functional(NnxNet(nnx.Rngs(0)))
    imc = imctrain.on_imc(forward, Hardware())
    got, expected = imc(params, rest, images, key=key), forward(params, rest, images)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, expected)


@pytest.mark.slow
@pytest.mark.usefixtures("float_sites")
@jax.numpy_dtype_promotion("standard")  # flax pools divide by integers
def test_linen(images):
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(4, (3, 3))(x))
            x = nn.avg_pool(x, (2, 2), (2, 2)).reshape(x.shape[0], -1)
            return nn.Dense(3)(nn.relu(nn.Dense(5)(x)))

    net = Net()
    variables = net.init(jax.random.key(0), images)
    imc = assert_same(net.apply, variables, images, sites=3)
    ledger = imc.ledger(variables, images)
    assert [name.split("/")[-1] for name in ledger.names] == ["Conv_0", "Dense_1", "Dense_0"]
    assert [entry.lhs.nonneg for entry in ledger] == [False, True, True]


@pytest.mark.usefixtures("float_sites")
def test_equinox(key):
    model = eqx.nn.MLP(4, 3, 5, 1, key=jax.random.key(0))
    params, static = eqx.partition(model, eqx.is_array)
    x = jax.random.normal(jax.random.key(1), (6, 4))
    assert_same(lambda p, x: jax.vmap(eqx.combine(p, static))(x), params, x, sites=2)
    # The module itself is a pytree whose functions and numbers are static leaves.
    imc = imctrain.on_imc(lambda m, x: jax.vmap(m)(x), Hardware())
    assert jnp.allclose(imc(model, x, key=key), jax.vmap(model)(x), atol=1e-5)


@pytest.mark.parametrize(("name", "sites", "outside"), [("mlp", 3, 5), slow("resnet20", 20, 5), slow("vit", 14, 5)])
def test_no_matmul_of_a_train_step_is_left_outside_but_what_rules_left_digital(name, sites, outside, key):
    forward, params, rest = functional(
        models.build(name, shape=(16, 16, 3), classes=10, width=4 if name == "resnet20" else 32, rngs=nnx.Rngs(0))
    )
    rules = [Rule("stem", path="float"), Rule("head", path="float")]
    imc = imctrain.on_imc(lambda p, r, x: forward(p, r, x)[0].sum(), Hardware(), rules)
    x = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
    state = imc.init(params, rest, x)

    def step(params, state, x):
        return jax.grad(lambda p, s: imc(p, rest, x, key=key, state=s), argnums=(0, 1))(params, state)

    count = count_matmuls(jax.make_jaxpr(step)(params, state, x))
    assert (len(imc.ledger(params, rest, x)), count.outside, count.formats) == (sites, outside, 0)
    assert count.array == 3 * (sites - 2)
    assert {name.split("#")[0] for name in digital_matmuls(step, params, state, x)} == {"stem", "head"}


@pytest.mark.slow
def test_a_network_trains_on_the_simulated_array(key):
    x = jax.random.normal(jax.random.key(1), (64, 8))
    target = jnp.tanh(x @ jax.random.normal(jax.random.key(2), (8, 1)))

    def loss(params, x, target):
        with jax.named_scope("fc1"):
            hidden = jax.nn.relu(x @ params["w1"])
        with jax.named_scope("fc2"):
            return jnp.mean(jnp.square(hidden @ params["w2"] - target))

    # Eight rows of 1152 are far below one LSB of the macro's converter; a finer one sees them.
    imc = imctrain.on_imc(loss, Hardware(adc=AdcSpec(bits=16)))
    params = {"w1": jax.random.normal(key, (8, 32)) / 3, "w2": jax.random.normal(key, (32, 1)) / 6}
    state = imc.init(params, x, target)

    @jax.jit
    def step(params, state, key):
        value, (grad, seen) = jax.value_and_grad(lambda p, s: imc(p, x, target, key=key, state=s), argnums=(0, 1))(
            params, state
        )
        state, reports = imc.update(state, seen)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grad), state, value, reports

    values = []
    for own in jax.random.split(key, 40):
        params, state, value, reports = step(params, state, own)
        values.append(float(value))
    assert values[-1] < 0.5 * values[0]
    assert reports["fc1"].keys() >= {"snr_db_forward", "clipped_weight_grad"}
    assert step._cache_size() == 1


@pytest.mark.slow
def test_custom_derivatives_and_loops_on_the_simulated_array(key):
    @jax.custom_vjp
    def dense(w, x):
        return jnp.tanh(x @ w)

    def dense_forward(w, x):
        y = dense(w, x)
        return y, (w, x, y)

    def dense_backward(kept, g):
        w, x, y = kept
        g = g * (1 - y * y)
        return x.T @ g, g @ w.T

    dense.defvjp(dense_forward, dense_backward)

    def fn(w, x):
        def body(carry, _):
            return dense(w, carry), None

        with jax.named_scope("net"):
            return jnp.sum(jnp.square(jax.lax.scan(body, x, None, length=3)[0]))

    w, x = jax.random.normal(key, (16, 16)) / 3, jax.random.normal(jax.random.key(1), (8, 16))
    imc = imctrain.on_imc(fn, Hardware(adc=AdcSpec(bits=18)))
    state = imc.init(w, x)
    grads = jax.jit(jax.grad(lambda w, s, x: imc(w, x, key=key, state=s), argnums=(0, 1)))
    got, seen = grads(w, state, x)
    expected = jax.grad(fn)(w, x)
    cosine = jnp.sum(got * expected) / jnp.linalg.norm(got) / jnp.linalg.norm(expected)
    assert float(cosine) > 0.7, "as without the custom rule: four-bit formats, a small batch"
    new, reports = imc.update(state, seen)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert np.isfinite(float(reports["net"]["snr_db_forward"]))
    assert imc.ledger(w, x).names == ["net", "net/bwd", "net/bwd#2"]
    mapped = jax.vmap(lambda x: grads(w, state, x)[0])(jnp.stack([x, x]))
    assert float(jnp.abs(mapped[0] - mapped[1]).max()) > 0, "stochastic rounding of its own for each element"
