"""flax nnx modules as arguments and closures: what they hold is changed as a plain call changes it.

Where a rule leaves every site float, the transformed function is the plain one: state, masks and results are equal to
those of `nnx.jit`, bit by bit.
"""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from tiers import slow

import imctrain
from imctrain.errors import UserError
from imctrain.intercept import Rule, on_imc
from imctrain.settings import Hardware

pytestmark = pytest.mark.leak_checks


@pytest.fixture(scope="module")
def X():
    return jax.random.normal(jax.random.key(1), (8, 4))


FLOAT = [Rule("*", path="float")]
DIGITAL = Hardware(path="digital")

eager = pytest.mark.no_leak_checks("looking for leaks traces every eager operation anew, and takes a minute")


def floating(fn, **options):
    return on_imc(fn, Hardware(), FLOAT, **options)


def content(tree):
    """Structure and values of modules in a pytree, to compare."""
    graph, state = nnx.split(tree, graph=True)
    leaves = map(jnp.asarray, jax.tree.leaves(state))
    keys = (jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in leaves)
    return graph, list(map(np.asarray, keys))


def assert_equal(one, other):
    (graph, values), (other_graph, other_values) = content(one), content(other)
    assert graph == other_graph
    assert len(values) == len(other_values)
    for a, b in zip(values, other_values, strict=True):
        np.testing.assert_array_equal(a, b)


class Net(nnx.Module):
    """What has state in a training step: running statistics and dropout's count."""

    def __init__(self, rngs, hidden=16, classes=3):
        self.first = nnx.Linear(4, hidden, rngs=rngs)
        self.norm = nnx.BatchNorm(hidden, momentum=0.9, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, x):
        with jax.named_scope("first"):
            x = self.first(x)
        x = self.dropout(nnx.relu(self.norm(x)))
        with jax.named_scope("last"):
            return self.last(x)


class Tied(nnx.Module):
    def __init__(self, rngs):
        self.encode = nnx.Linear(4, 4, rngs=rngs)
        self.decode = self.encode
        self.norms = nnx.List([nnx.BatchNorm(4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)])
        self.again = self.norms[0]

    def __call__(self, x):
        return self.again(self.decode(self.norms[1](self.norms[0](self.encode(x)))))


class Count(nnx.Variable):
    pass


class Counting(nnx.Module):
    """Variables of the user's own, plain numbers and attributes."""

    def __init__(self, rngs):
        self.dense = nnx.Linear(4, 4, rngs=rngs)
        self.calls = Count(jnp.zeros((), jnp.int32))
        self.number = nnx.Variable(0)
        self.parity = "even"
        self.table = nnx.Variable({"sum": jnp.zeros(4), "last": jnp.zeros(4)})

    def __call__(self, x):
        self.calls[...] += 1
        self.number.set_value(self.number.get_value() + 2)
        self.parity = {"even": "odd", "odd": "even"}[self.parity]
        self.table.set_value({"sum": self.table.get_value()["sum"] + x.sum(0), "last": x[-1]})
        return self.dense(x)


class Sowing(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, x):
        hidden = self.dense(x)
        self.sow(nnx.Intermediate, "hidden", hidden)
        return self.dense(nnx.relu(hidden))


class Normalised(nnx.Module):
    def __init__(self, rngs):
        self.dense = nnx.SpectralNorm(nnx.Linear(4, 4, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.dense(x, update_stats=True)


class Decoding(nnx.Module):
    """One position at a time: keys and values of the earlier ones are in the cache."""

    def __init__(self, rngs):
        self.attention = nnx.MultiHeadAttention(2, 4, decode=True, rngs=rngs)
        self.attention.init_cache((8, 6, 4))

    def __call__(self, x):
        return self.attention(x[:, None])


class Recurrent(nnx.Module):
    def __init__(self, rngs):
        self.lstm = nnx.RNN(nnx.OptimizedLSTMCell(4, 4, rngs=rngs), rngs=rngs)

    def __call__(self, x):
        return self.lstm(x.reshape(2, 4, 4))


class Mapped(nnx.Module):
    """Layers stacked by nnx.vmap and run by nnx.scan, statistics of each included."""

    def __init__(self, rngs):
        make = nnx.vmap(lambda rngs: Tied(rngs), in_axes=0, out_axes=0)
        self.layers = make(rngs.fork(split=3))

    def __call__(self, x):
        return nnx.scan(lambda x, layer: layer(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.layers)


MODULES = [Net, Tied, Counting, Sowing, Normalised, Decoding, Recurrent, Mapped]


@pytest.mark.parametrize("kind", MODULES)
def test_modules_are_left_as_a_plain_call_leaves_them(kind, X, key):
    own, plain = kind(nnx.Rngs(0)), kind(nnx.Rngs(0))
    fn, expected = floating(lambda m, x: m(x)), nnx.jit(lambda m, x: m(x))
    assert fn.init(own, X) == {}
    assert_equal(own, plain)  # init runs nothing
    for _ in range(3):
        np.testing.assert_array_equal(fn(own, X, key=key), expected(plain, X))
        assert_equal(own, plain)


@pytest.mark.parametrize("kind", [MODULES[0], *map(slow, MODULES[1:])])
def test_so_are_modules_that_a_function_closes_over(kind, X, key):
    own, plain = kind(nnx.Rngs(0)), kind(nnx.Rngs(0))
    fn, expected = floating(lambda x: own(x), weights=()), nnx.jit(lambda m, x: m(x))
    for _ in range(3):
        np.testing.assert_array_equal(fn(X, key=key), expected(plain, X))
        assert_equal(own, plain)


def loss(model, x, labels):
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(model(x), labels))


LABELS = jnp.arange(8) % 3


@eager
@pytest.mark.parametrize("hardware", [pytest.param(DIGITAL, id="digital"), slow(Hardware(), id="array")])
def test_a_module_is_its_params_as_weights_and_the_rest_as_data(hardware, X):
    """The same function with the module split by hand, which is how it had to be written before: bit by bit."""
    model = Net(nnx.Rngs(0))
    graph, params, rest = nnx.split(Net(nnx.Rngs(0)), nnx.Param, ...)

    def by_hand(params, rest, x, labels):
        own = nnx.merge(graph, params, rest, copy=True)
        return loss(own, x, labels), nnx.state(own, nnx.Not(nnx.Param))

    whole, split = on_imc(loss, hardware), on_imc(by_hand, hardware)
    ledger, other = whole.ledger(model, X, LABELS), split.ledger(params, rest, X, LABELS)
    assert [(e.name, e.lhs, e.rhs) for e in ledger] == [(e.name, e.lhs, e.rhs) for e in other]
    assert [(e.lhs.kind, e.rhs.kind) for e in ledger] == [("activation", "weight")] * 2
    state = whole.init(model, X, LABELS)

    @nnx.jit
    def run_whole(model, state, key):
        call = lambda m, s: whole(m, X, LABELS, key=key, state=s)  # noqa: E731
        return nnx.value_and_grad(call, argnums=(0, 1))(model, state)

    @jax.jit
    def run_split(params, rest, state, key):
        call = lambda p, s: split(p, rest, X, LABELS, key=key, state=s)  # noqa: E731
        return jax.value_and_grad(call, argnums=(0, 1), has_aux=True)(params, state)

    for step in range(2):
        key = jax.random.key(step)
        value, (grads, telemetry) = run_whole(model, state, key)
        (expected, rest), (by_hand_grads, by_hand_telemetry) = run_split(params, rest, state, key)
        assert value == expected
        for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(by_hand_grads), strict=True):
            np.testing.assert_array_equal(a, b)
        jax.tree.map(np.testing.assert_array_equal, telemetry, by_hand_telemetry)
        assert_equal(model, nnx.merge(graph, params, rest, copy=True))
        assert int(model.dropout.rngs.count[...]) == step + 1


@eager
@pytest.mark.parametrize("jitted", [False, True])
def test_gradients_are_those_of_the_plain_module_and_of_params_alone(jitted, X, key):
    own, plain = Tied(nnx.Rngs(0)), Tied(nnx.Rngs(0))
    fn = floating(lambda m, x: jnp.sum(jnp.sin(m(x))))
    gradient = nnx.value_and_grad(lambda m: fn(m, X, key=key))
    expected = nnx.value_and_grad(lambda m: jnp.sum(jnp.sin(m(X))))
    value, grads = (nnx.jit(gradient) if jitted else gradient)(own)
    plain_value, plain_grads = nnx.jit(expected)(plain)
    np.testing.assert_allclose(value, plain_value, rtol=1e-6)
    assert jax.tree.structure(grads) == jax.tree.structure(plain_grads)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), grads, plain_grads)
    np.testing.assert_allclose(own.norms[0].mean[...], plain.norms[0].mean[...], rtol=1e-5)
    assert own.decode is own.encode
    assert own.again is own.norms[0]


def test_keywords_pytrees_and_shared_modules(X, key):
    def fn(w, nets, *, extra, rngs):
        x = nets["a"][0](X @ w) + nets["b"](X @ w)
        return {"x": extra(x), "same": nets["a"][0] is nets["b"], "net": nets["b"], "drawn": rngs.noise()}

    own, plain = [(Net(nnx.Rngs(0), classes=4), Tied(nnx.Rngs(1)), nnx.Rngs(noise=2)) for _ in range(2)]
    got = floating(fn)(jnp.eye(4), {"a": (own[0],), "b": own[0]}, extra=own[1], rngs=own[2], key=key)
    expected = nnx.jit(fn, static_argnames=())(
        jnp.eye(4), {"a": (plain[0],), "b": plain[0]}, extra=plain[1], rngs=plain[2]
    )
    np.testing.assert_array_equal(got["x"], expected["x"])
    assert got["drawn"] == expected["drawn"]
    assert got["same"] is True
    assert got["net"] is own[0]
    assert_equal(own, plain)
    assert int(own[0].dropout.rngs.count[...]) == 2


class Holder:
    """A plain object, as trainers are."""

    def __init__(self, model):
        self.model = model

    def run(self, x):
        return self.model(x)


REACHED = {
    "the module itself": lambda m: m,
    "its method": lambda m: m.__call__,
    "partial": lambda m: functools.partial(lambda m, x: m(x), m),
    "partial by keyword": lambda m: functools.partial(lambda x, m: m(x), m=m),
    "default": lambda m: lambda x, m=m: m(x),
    "method of a plain object": lambda m: Holder(m).run,
    "closure of a closure": lambda m: lambda x: (lambda y: m(y))(x),
    "function that it calls": lambda m: (lambda f: lambda x: f(x))(lambda x: m(x)),
    "container": lambda m: (lambda models: lambda x: models["net"][0](x))({"net": [m]}),
    "jitted": lambda m: nnx.jit(lambda x: jnp.sum(x)) and (lambda f: lambda x: f(x))(floating(m, weights=())._fn),
    "a part of it": lambda m: (lambda parts, m: lambda x: m(x) + 0 * jnp.sum(parts["mean"]))({"mean": m.norm.mean}, m),
}


@eager
@pytest.mark.parametrize("how", REACHED)
def test_a_module_is_found_however_a_function_reaches_it(how, X, key):
    own, plain = Net(nnx.Rngs(0)), Net(nnx.Rngs(0))
    fn = floating(REACHED[how](own), weights=())
    for _ in range(2):
        np.testing.assert_array_equal(fn(X, key=key), nnx.jit(lambda m, x: m(x))(plain, X))
    assert_equal(own, plain)
    own.last.bias[...] += 1  # the trace is not tied to old values
    plain.last.bias[...] += 1
    np.testing.assert_array_equal(fn(X, key=key), nnx.jit(lambda m, x: m(x))(plain, X))


def test_a_static_argument_may_hold_a_module(X, key):
    own, plain = Net(nnx.Rngs(0)), Net(nnx.Rngs(0))
    fn = floating(lambda holder, x: holder.run(x))
    for _ in range(2):
        np.testing.assert_array_equal(fn(Holder(own), X, key=key), nnx.jit(lambda m, x: m(x))(plain, X))
    assert_equal(own, plain)


def test_params_that_a_function_closes_over_are_weights(X):
    model = Net(nnx.Rngs(0))
    entries = on_imc(lambda x: model(x), DIGITAL, weights=()).ledger(X)
    assert [(e.lhs.kind, e.rhs.kind) for e in entries] == [("activation", "weight")] * 2


class Hidden:
    """Out of reach: an attribute of a class."""

    model = Net(nnx.Rngs(0))
    jitted_inside = staticmethod(lambda x: jax.jit(lambda y: Hidden.model(y))(x))


@eager
@pytest.mark.parametrize("fn", [lambda x: Hidden.model(x), Hidden.jitted_inside], ids=["plain", "jitted"])
def test_a_module_out_of_reach_is_read_as_it_is_and_not_changed(fn, X, key):
    Hidden.model.train()
    imc = floating(fn, weights=())
    with pytest.raises(UserError, match="changes a flax nnx object where the change would be lost"):
        imc(X, key=key)
    Hidden.model.eval()
    for _ in range(2):
        np.testing.assert_allclose(imc(X, key=key), Hidden.model(X), atol=1e-5)
        Hidden.model.first.kernel[...] *= 2


@eager
def test_a_variable_alone(key):
    total, scale = nnx.Variable(jnp.zeros(())), nnx.Param(jnp.ones(()))

    def fn(w, v):
        total[...] += v[...]
        v[...] = 2 * v[...]
        return scale[...] * jnp.sum(w @ w)

    imc, v = floating(fn), nnx.Variable(jnp.ones(()))
    for step in range(3):
        assert imc(jnp.eye(4), v, key=key) == 4 * (step + 1)
        scale[...] += 1
    assert (float(v[...]), float(total[...])) == (8, 7)


@eager
def test_an_optimizer_and_a_metric_step_inside(X, key):
    def make():
        model = Net(nnx.Rngs(0))
        return model, nnx.Optimizer(model, optax.sgd(0.1, momentum=0.9), wrt=nnx.Param), nnx.metrics.Average()

    def fn(model, optimizer, metric, x):
        value, grads = nnx.value_and_grad(lambda m: loss(m, x, LABELS))(model)
        optimizer.update(model, grads)
        metric.update(values=value)
        return value

    own, plain = make(), make()
    imc = floating(fn)
    for _ in range(2):
        np.testing.assert_allclose(imc(*own, X, key=key), nnx.jit(fn)(*plain, X), rtol=1e-5)
    assert int(own[1].step[...]) == 2
    np.testing.assert_allclose(own[2].total[...], plain[2].total[...], rtol=1e-5)
    np.testing.assert_allclose(own[0].norm.mean[...], plain[0].norm.mean[...], atol=1e-5)
    np.testing.assert_allclose(own[0].first.kernel[...], plain[0].first.kernel[...], atol=1e-4)


@pytest.mark.slow
@eager
def test_under_nnx_transforms(X, key):
    fn = floating(lambda m, x: m(x))
    own, plain = [nnx.vmap(Net)(nnx.Rngs(0).fork(split=2)) for _ in range(2)]
    both = jnp.stack([X, -X])
    np.testing.assert_allclose(
        nnx.vmap(lambda m, x: fn(m, x, key=key))(own, both), nnx.vmap(lambda m, x: m(x))(plain, both), atol=1e-5
    )
    np.testing.assert_allclose(own.norm.mean[...], plain.norm.mean[...], atol=1e-6)
    assert own.dropout.rngs.count[...].tolist() == [1, 1]
    one, other = Tied(nnx.Rngs(0)), Tied(nnx.Rngs(0))
    nnx.remat(lambda m, x: fn(m, x, key=key))(one, X)
    other(X)
    np.testing.assert_allclose(one.again.mean[...], other.again.mean[...], atol=1e-6)


@eager
def test_on_the_array_inside_a_function_on_the_array(X, key):
    inner = floating(lambda m, x: m(x))
    outer = floating(lambda m, x: inner(m, inner(m, x, key=key), key=key))
    own, plain = Tied(nnx.Rngs(0)), Tied(nnx.Rngs(0))
    np.testing.assert_array_equal(outer(own, X, key=key), nnx.jit(lambda m, x: m(m(x)))(plain, X))
    assert_equal(own, plain)


@eager
def test_a_tapped_call_is_a_call(X, key):
    own, plain = Net(nnx.Rngs(0)), Net(nnx.Rngs(0))
    imc = on_imc(lambda m, x: m(x), DIGITAL)
    added = {"first": jnp.zeros((8, 16)), "last": jnp.zeros((8, 3))}
    out, operands = imc.tapped(own, X, key=key, added=added, digital=True)
    np.testing.assert_allclose(out, plain(X), atol=1e-5)
    np.testing.assert_allclose(own.norm.mean[...], plain.norm.mean[...], atol=1e-6)
    np.testing.assert_array_equal(operands["first"][1], own.first.kernel[...])


@eager
def test_programs_are_traced_once(X, key):
    traces = []

    def fn(m, x):
        traces.append(x.shape)
        return m(x)

    imc, model = floating(fn), Net(nnx.Rngs(0))
    closed_over = floating(lambda x: fn(model, x), weights=())
    for seed in range(3):
        imc(Net(nnx.Rngs(seed)), X, key=key)
        imc(model, X, key=key)
        closed_over(X, key=key)
    assert len(traces) == 2
    imc(model, X[:4], key=key)
    model.eval()
    imc(model, X, key=key)
    assert len(traces) == 4
    numbers = floating(lambda m, x: traces.append(0) or m(x))
    counting = Counting(nnx.Rngs(0))
    for _ in range(4):
        numbers(counting, X, key=key)
    assert len(traces) == 6, "even and odd; counts are no programs of their own"


def test_variables_may_come_and_go(X, key):
    def fn(m, x):
        return m(x), nnx.pop(m, nnx.Intermediate)

    imc, own = floating(fn), Sowing(nnx.Rngs(0))
    for _ in range(2):
        out, popped = imc(own, X, key=key)
        np.testing.assert_allclose(popped["hidden"][0], own.dense(X), atol=1e-6)
    assert_equal(own, Sowing(nnx.Rngs(0)))
    np.testing.assert_allclose(out, own.dense(nnx.relu(own.dense(X))), atol=1e-5)


def test_a_state_is_a_value(X, key):
    graph, params, rest = nnx.split(Net(nnx.Rngs(0)), nnx.Param, ...)

    def fn(params, rest, x):
        own = nnx.merge(graph, params, rest)
        return own(x), nnx.state(own, nnx.BatchStat)

    _, statistics = floating(fn)(params, rest, X, key=key)
    assert float(jnp.abs(statistics["norm"]["mean"][...]).max()) > 0
    assert float(jnp.abs(rest["norm"]["mean"][...]).max()) == 0


class Logging(nnx.Module):
    def __init__(self, what):
        self.w, self.log = nnx.Param(jnp.eye(4)), [0]
        self.what = what

    def __call__(self, x):
        self.log.append("called" if self.what == "name" else jnp.mean(x))
        return x @ self.w


def under(transform, X, key):
    model = Net(nnx.Rngs(0))
    fn = floating(lambda m, x: jnp.sum(m(x)))
    try:
        return transform(lambda x: fn(model, x, key=key))(X)
    finally:
        assert_equal(model, Net(nnx.Rngs(0)))


OUTSIDE = "changes .* of a Net that comes from outside of a jax.jit"
CHANGED = "changes 'log' of a module"
REFUSED = {
    "jit around": (lambda *given: under(jax.jit, *given), OUTSIDE),
    "nnx.jit around": (lambda *given: under(nnx.jit, *given), OUTSIDE),
    "grad around": (lambda *given: under(jax.grad, *given), OUTSIDE),
    "vmap around": (lambda *given: under(jax.vmap, *given), OUTSIDE),
    "vmap inside": (
        lambda X, key: floating(lambda m, x: jax.vmap(lambda row: m(row))(x))(Net(nnx.Rngs(0)), X[None], key=key),
        "Cannot mutate .* inside the function, nnx.vmap",
    ),
    "list of names": (lambda X, key: floating(lambda m, x: m(x))(Logging("name"), X, key=key), CHANGED),
    "list of arrays": (lambda X, key: floating(lambda m, x: m(x))(Logging("mean"), X, key=key), CHANGED),
    "closed-over list": (lambda X, key: floating(Logging("name"), weights=())(X, key=key), CHANGED),
    "ref": (
        lambda X, key: floating(lambda v, x: x * v[...])(nnx.Variable(jnp.ones(4), ref=True), X, key=key),
        "a Variable with ref = True",
    ),
    "hijax": (
        lambda X, key: floating(lambda v, x: x * v[...])(nnx.Variable(jnp.ones(4), hijax=True), X, key=key),
        "Variable with hijax = True",
    ),
    "mutable array": (
        lambda X, key: floating(lambda r, x: x * r[...])(jax.new_ref(X), X, key=key),
        "holds a mutable array",
    ),
    "closed-over mutable array": (
        lambda X, key: (lambda ref: floating(lambda x: x @ ref[...].T, weights=())(X, key=key))(jax.new_ref(X)),
        "closes over a mutable array",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.no_leak_checks("the list of arrays is a leak, of the kind that is refused")
def test_it_is_refused(what, X, key):
    call, message = REFUSED[what]
    with pytest.raises(UserError, match=message):
        call(X, key)


@eager
def test_a_module_of_a_trace_around_may_be_read(X, key):
    model = Net(nnx.Rngs(0))
    model.eval()
    fn = floating(lambda m, x: jnp.sum(m(x)))
    expected = jnp.sum(model(X))
    for transform in (jax.jit, nnx.jit, lambda f: lambda x: jax.vmap(f)(x[None])[0]):
        np.testing.assert_allclose(transform(lambda x: fn(model, x, key=key))(X), expected, rtol=1e-5)


def test_a_list_that_its_owner_changes_is_another_program(key):
    model = Logging("name")
    imc = floating(lambda m, x: x @ m.w + len(m.log))
    assert float(jnp.max(imc(model, jnp.zeros((4, 4)), key=key))) == 1
    model.log.append("by hand")
    assert float(jnp.max(imc(model, jnp.zeros((4, 4)), key=key))) == 2


@pytest.mark.slow
@eager
@jax.numpy_dtype_promotion("standard")  # optax raises floats to integers
def test_the_example_of_the_documentation_trains(key):
    """docs/simulation.md, "Your model", word by word but for the hardware and the data."""
    page = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()
    example = page.split("## Your model")[1].split("```python")[1].split("```")[0]
    assert "imctrain.Hardware()" in example
    rng = np.random.default_rng(0)
    centres = 3 + 2 * rng.standard_normal((3, 4))  # far from 0: without running statistics, evaluation fails

    def batch(size):
        labels = rng.integers(0, 3, size)
        points = centres[labels] + 0.3 * rng.standard_normal((size, 4))
        return jnp.asarray(points, jnp.float32), jnp.asarray(labels)

    here = {"jax": jax, "nnx": nnx, "optax": optax, "imctrain": imctrain}
    here |= {"Net": Net, "batches": [batch(64) for _ in range(60)]}
    exec(example.replace("imctrain.Hardware()", "imctrain.Hardware(path='digital')"), here)
    model, reports = here["model"], here["reports"]

    assert reports.keys() == {"first", "last"}
    assert int(model.dropout.rngs.count[...]) == 60
    inputs, labels = batch(600)
    hidden = on_imc(lambda m, x: m.first(x), DIGITAL)(model, inputs, key=key)
    mean = hidden.mean(0)
    assert float(jnp.linalg.norm(model.norm.mean[...] - mean)) < 0.2 * float(jnp.linalg.norm(mean))
    model.eval()
    outputs = on_imc(lambda m, x: m(x), DIGITAL)(model, inputs, key=key)
    assert float(jnp.mean(jnp.argmax(outputs, 1) == labels)) > 0.98
    assert int(model.dropout.rngs.count[...]) == 60
