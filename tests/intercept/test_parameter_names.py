"""Sites are named after the parameters that they multiply with; what they were called before stays valid."""

from __future__ import annotations

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from imctrain.errors import UserError
from imctrain.imc.forecast.advice import find_problems
from imctrain.intercept import Rule, on_imc
from imctrain.settings import Hardware
from imctrain.training.stored import Stored, flat

X = np.ones((3, 4), np.float32)
TOKENS = np.ones((3, 4), np.float32)


def matrix(*shape):
    return np.full(shape or (4, 4), 0.1, np.float32)


def names(fn, *args, weights=0, rules=()):
    return on_imc(fn, Hardware(), rules, weights).ledger(*args).names


def attention(layer, x):
    query, key, value = (x @ layer["attention"][name] for name in ("query", "key", "value"))
    scores = jax.nn.softmax(query @ key.T / 2.0)
    return x + (scores @ value) @ layer["attention"]["out"]


def gpt(params, x):
    for layer in params["layers"]:
        x = attention(layer, x)
        x = x + jax.nn.gelu(x @ layer["up"]["kernel"]) @ layer["down"]["kernel"]
    return x @ params["head"]


def gpt_params():
    def layer():
        inside = {name: matrix() for name in ("query", "key", "value", "out")}
        return {"attention": inside, "up": {"kernel": matrix()}, "down": {"kernel": matrix()}}

    return {"layers": [layer(), layer()], "head": matrix()}


def test_a_dict_of_parameters():
    inside = ["attention/query", "attention/key", "attention/value", "attention/dot", "attention/dot#2"]
    inside += ["attention/out", "up", "down"]
    assert names(gpt, gpt_params(), TOKENS) == [f"layers/{i}/{name}" for i in range(2) for name in inside] + ["head"]


class Block(nnx.Module):
    def __init__(self, rngs):
        self.attention = nnx.MultiHeadAttention(2, 4, decode=False, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(4, 4, rngs=rngs) for _ in range(2)])

    def __call__(self, x):
        x = self.attention(x)
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return x


BLOCK = [f"attention/{name}" for name in ("query", "key", "value", "dot", "dot#2", "out")] + ["layers/0", "layers/1"]


@pytest.fixture
def block():
    return Block(nnx.Rngs(0))


def test_an_nnx_module(block):
    assert names(lambda model, x: model(x), block, X[None]) == BLOCK


def test_modules_inside_pytrees_closed_over_and_as_state(block):
    assert names(lambda both, x: both["net"](x), {"net": block}, X[None]) == [f"net/{name}" for name in BLOCK]
    assert names(lambda x: block(x), X[None], weights=()) == BLOCK
    graph, params, rest = nnx.split(block, nnx.Param, ...)
    assert names(lambda p, r, x: nnx.merge(graph, p, r)(x), params, rest, X[None]) == BLOCK


def test_stacked_nnx_layers_have_one_name():
    @nnx.split_rngs(splits=3)
    @nnx.vmap(in_axes=0)
    def make(rngs):
        return nnx.Linear(4, 4, rngs=rngs)

    class Stacked(nnx.Module):
        def __init__(self, rngs):
            self.layers = make(rngs)

        def __call__(self, x):
            return nnx.scan(lambda x, layer: layer(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)(x, self.layers)

    ledger = on_imc(lambda model, x: model(x), Hardware()).ledger(Stacked(nnx.Rngs(0)), X)
    assert [(entry.name, entry.executions) for entry in ledger] == [("layers", 3)]


def test_an_equinox_module():
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")
    net = eqx.nn.MLP(4, 4, 4, 1, key=jax.random.key(0))
    assert names(lambda net, x: jax.vmap(net)(x), net, X) == ["layers/0", "layers/1"]
    assert names(lambda net, x: jax.vmap(net)(x), net, X, rules=[Rule("eqx.nn.MLP/eqx.nn.Linear#2", path="float")])


def test_a_scan_over_stacked_layers():
    def fn(params, x):
        x, _ = lax.scan(lambda x, layer: (attention(layer, x), None), x, params["layers"])
        return x @ params["head"]

    params = gpt_params()
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *params["layers"])
    found = names(fn, {"layers": stacked, "head": params["head"]}, TOKENS)
    inside = ("query", "key", "value", "dot", "dot#2", "out")
    assert found == [f"layers/attention/{name}" for name in inside] + ["head"]


def test_through_what_is_done_to_a_weight():
    @jax.custom_vjp
    def rounded(w):
        return jnp.round(w)

    rounded.defvjp(lambda w: (rounded(w), None), lambda _, g: (g,))

    @jax.jit
    def prepared(layer):
        w = layer["gain"][None, :] * layer["kernel"].astype(jnp.float32)
        return rounded((w - w.mean()) / w.std()).reshape(4, 4).T

    params = {"a": {"kernel": matrix(2, 8), "gain": matrix(8)}, "b": {"gain": matrix(8), "kernel": matrix(2, 8)}}

    def fn(params, x):
        x = jax.checkpoint(lambda layer, x: x @ prepared(layer))(params["a"], x)
        return lax.cond(x.sum() > 0, lambda x: x @ prepared(params["b"]), lambda x: x, x)

    assert names(fn, params, X) == ["a", "b"]


def test_a_parameter_that_is_used_again_is_numbered():
    assert names(lambda p, x: (x @ p["tied"]) @ p["tied"].T, {"tied": matrix()}, X) == ["tied", "tied#2"]
    gradient = jax.grad(lambda p, x: jnp.sum((x @ p["first"]) @ p["head"]))
    found = names(gradient, {"first": matrix(), "head": matrix()}, X)
    assert found[0] == "first"
    assert set(found) >= {"first", "head"}


def test_both_halves_of_a_custom_derivative():
    @jax.custom_vjp
    def linear(w, x):
        return x @ w

    linear.defvjp(lambda w, x: (x @ w, (w, x)), lambda kept, g: (kept[1].T @ g, g @ kept[0].T))
    found = names(lambda p, x: linear(p["head"], x) @ p["tail"], {"head": matrix(), "tail": matrix()}, X)
    assert found == ["head", "bwd", "head/bwd", "tail"]


def test_several_weight_arguments_go_by_their_names():
    def fn(base, lora, x):
        return x @ (base["w"] + lora["a"] @ lora["b"])

    found = names(fn, {"w": matrix()}, {"a": matrix(4, 1), "b": matrix(1, 4)}, X, weights=(0, 1))
    assert found == ["lora/a", "base"]
    assert names(lambda v, w, x: (x @ v) @ w, matrix(), matrix(), X, weights=(0, 1)) == ["v", "w"]
    assert names(lambda params, x: (x @ params[0]) @ params[1], [matrix(), matrix()], X) == ["params/0", "params/1"]
    assert names(lambda *all_of_it: all_of_it[2] @ all_of_it[1], X, matrix(), X, weights=(0, 1)) == ["argument1"]


def test_scopes_come_first_and_nothing_known_is_a_number():
    def fn(params, x):
        with jax.named_scope("stem"):
            x = x @ params["first"]
        return (x @ x.T) @ x @ params["head"]

    assert names(fn, {"first": matrix(), "head": matrix()}, X) == ["stem", "dot", "dot#2", "head"]
    assert names(lambda w, x: x @ w, matrix(), X) == ["dot"]
    assert names(lambda x: x @ matrix(), X, weights=()) == ["dot"]


def test_no_name_is_the_former_name_of_another_site():
    """ "dot" is a parameter's path here, and what the first site was called."""
    imc = on_imc(lambda p, x: (x @ p["a"]) @ p["dot"], Hardware())
    ledger = imc.ledger({"a": matrix(), "dot": matrix()}, X)
    assert ledger.former_names == {"a": "dot", "dot#3": "dot#2"}
    assert ledger["dot"].name == "a"


def two(params, x):
    return jax.nn.relu(x @ params["first"]) @ params["head"]


@pytest.fixture
def params():
    key = jax.random.key(0)
    return {"first": jax.random.normal(key, (4, 8)), "head": jax.random.normal(key, (8, 2))}


FORMER = {"first": "dot", "head": "dot#2"}


def test_rules_match_former_names_too(params):
    for pattern in ("dot#2", "head", "*#2", "h*"):
        ledger = on_imc(two, Hardware(), [Rule(pattern, path="float")]).ledger(params, X)
        assert {entry.name: entry.path for entry in ledger} == {"first": "exact", "head": "float"}, pattern
    chips = on_imc(two, Hardware(), [Rule("dot#2", overrides={"noise.sigma_lsb": 2.0})]).chip(params, X)
    assert float(chips["head"].sigma_array) > float(chips["first"].sigma_array)
    with pytest.raises(UserError, match=r"nearest of 2 sites: .*head"):
        on_imc(two, Hardware(), [Rule("hed", path="float")]).ledger(params, X)


def test_a_site_is_found_by_its_former_name(params):
    imc = on_imc(two, Hardware())
    ledger = imc.ledger(params, X)
    assert ledger["dot#2"] is ledger["head"]
    assert "dot#2" in ledger
    assert imc.site("dot#2") is imc.site("head")
    assert imc.former_names == FORMER


@pytest.mark.slow
def test_states_and_chips_under_former_names(params):
    imc, key = on_imc(two, Hardware()), jax.random.key(1)

    def former(values):
        return {FORMER[name]: value for name, value in values.items()}

    state, chip = imc.init(params, X), imc.chip(params, X)
    out = imc(params, X, key=key, state=former(state), chip=former(chip))
    np.testing.assert_array_equal(out, imc(params, X, key=key))
    telemetry = jax.grad(lambda s: imc(params, X, key=key, state=s).sum())(former(state))
    assert set(telemetry) == set(FORMER.values())
    new, reports = imc.update(former(state), telemetry)
    assert set(new) == set(reports) == set(FORMER)


@pytest.mark.slow
def test_numbers_do_not_know_names(params):
    """Noise is drawn by a site's place in the program: named or numbered, the same bits, and the same work."""
    named = on_imc(two, Hardware())
    numbered = on_imc(lambda flat, x: jax.nn.relu(x @ flat) @ params["head"], Hardware())
    on_both = on_imc(lambda p, x: two(p, x), Hardware(), weights=())
    key = jax.random.key(2)
    assert numbered.ledger(params["first"], X).names == ["dot", "dot#2"]
    np.testing.assert_array_equal(named(params, X, key=key), numbered(params["first"], X, key=key))
    assert on_both.ledger(params, X).names == ["dot", "dot#2"]


def equations(jaxpr):
    counts = collections.Counter()
    for eqn in jaxpr.eqns:
        counts[eqn.primitive.name] += 1
        for inner in jax.core.jaxprs_in_params(eqn.params):
            counts += equations(inner)
    return counts


def test_names_cost_nothing_at_run_time(params):
    def step(fn, weights):
        imc = on_imc(fn, Hardware())
        state = imc.init(weights, X)
        gradient = jax.grad(lambda w, s: imc(w, X, key=jax.random.key(0), state=s).sum(), argnums=(0, 1))
        return equations(jax.make_jaxpr(gradient)(weights, state).jaxpr)

    head = params["head"]
    named = step(lambda p, x: jax.nn.relu(x @ p["first"]) @ head, {"first": params["first"]})
    numbered = step(lambda w, x: jax.nn.relu(x @ w) @ head, params["first"])
    assert named == numbered
    assert named["dot_general"] > 0


def test_advice_says_the_name(params):
    hardware = Hardware(noise={"sigma_lsb": 100.0})
    imc = on_imc(two, hardware)
    imc.init(params, X)
    problems = find_problems({name: imc.site(name) for name in FORMER})
    assert {problem.site.spec.name for problem in problems} <= set(FORMER)
    assert problems


def test_a_checkpoint_from_when_sites_had_numbers(params, tmp_path):
    imc = on_imc(two, Hardware())
    state = imc.init(params, X)
    learned = jax.tree.map(lambda leaf: leaf + 1, state)
    stored = flat({"sites": {FORMER[name]: value for name, value in learned.items()}})
    checkpoint = Stored(tmp_path, 3, stored, {}, None, {})
    restored = checkpoint.fit({"sites": state}, imc.former_names)
    for found, expected in zip(jax.tree.leaves(restored), jax.tree.leaves({"sites": learned}), strict=True):
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(UserError, match="does not fit this run: sites/first"):
        dataclasses.replace(checkpoint).fit({"sites": state})
