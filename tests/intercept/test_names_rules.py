"""Site names come from scopes and are the same in every trace; rules match them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from imctrain.errors import UserError
from imctrain.intercept import Rule, on_imc
from imctrain.intercept.rules import known_keys, override
from imctrain.settings import AdcSpec, Hardware

pytestmark = pytest.mark.leak_checks

W, X, IMAGE, KERNEL = jnp.ones((4, 4)), jnp.ones((3, 4)), jnp.ones((1, 5, 5, 4)), jnp.ones((3, 3, 4, 4))


def names(fn, *args, rules=()):
    return on_imc(fn, Hardware(), rules).ledger(*args).names


def conv(x):
    return lax.conv_general_dilated(x, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def net(w, x):
    with jax.named_scope("stage1"):
        for i in range(2):
            with jax.named_scope(f"block{i}"):
                x = jnp.einsum("bi,io->bo", x, w)
    with jax.named_scope("deep"):
        x = jax.jit(lambda v: jax.named_scope("inner")(lambda u: u @ w)(v))(x)

        def body(carry, _):
            with jax.named_scope("cell"):
                return jax.vmap(lambda row: row @ w)(carry) @ w, None

        x = lax.scan(body, x, None, length=2)[0]
    return x @ w, x @ w


NET = ["stage1/block0", "stage1/block1", "deep/inner", "deep/cell", "deep/cell#2", "dot", "dot#2"]


def test_names_follow_scopes():
    assert names(net, W, X) == NET


def test_names_are_the_same_in_every_trace_and_under_transforms():
    assert names(net, W, X) == NET
    imc = on_imc(net, Hardware())
    seen = []
    jax.jit(jax.grad(lambda w: (seen.append(imc.ledger(w, X).names), 0.0)[1]))(W)
    with jax.named_scope("elsewhere"):
        seen.append(imc.ledger(W, X).names)
    jax.vmap(lambda x: seen.append(imc.ledger(W, x).names))(jnp.ones((2, 3, 4)))
    assert seen == [NET] * 3


def test_the_operation_tells_apart_what_shares_a_scope():
    def fn(w, x):
        with jax.named_scope("both"):
            return conv(x) @ w, conv(x)

    assert names(fn, W, IMAGE) == ["both/conv", "both/dot", "both/conv#2"]
    assert names(lambda w, x: conv(x) @ w, W, IMAGE) == ["conv", "dot"]


def test_a_scope_that_looks_like_a_numbered_name():
    def fn(w, x):
        with jax.named_scope("a"):
            x = x @ w
        with jax.named_scope("a#2"):
            x = x @ w
        with jax.named_scope("a"):
            return x @ w

    assert names(fn, W, X) == ["a", "a#2", "a#3"]


def test_a_gradient_inside_has_the_names_of_its_forward_pass():
    assert names(jax.grad(lambda w: net(w, X)[0].sum()), W)[:2] == ["stage1/block0", "stage1/block1"]


def paths(*rules, hardware=None):
    return {e.name: e.path for e in on_imc(net, hardware or Hardware(), rules).ledger(W, X)}


def test_rules_match_whole_names_and_later_ones_win():
    assert paths(Rule("stage1/*", path="float"))["stage1/block1"] == "float"
    chosen = paths(Rule("*", path="float"), Rule("deep/*", path="digital"), Rule("deep/cell#2", path="exact"))
    assert chosen == {
        "stage1/block0": "float",
        "stage1/block1": "float",
        "deep/inner": "digital",
        "deep/cell": "digital",
        "deep/cell#2": "exact",
        "dot": "float",
        "dot#2": "float",
    }


def test_overrides_add_up():
    rules = [Rule("stage1/*", overrides={"adc.bits": 10, "array.rows": 64}), Rule("*block1", overrides={"adc.bits": 6})]
    ledger = on_imc(net, Hardware(adc=AdcSpec(range=0.5)), rules).ledger(W, X)
    hardware = {entry.name: entry.site.spec.hardware for entry in ledger}
    assert [(h.adc.bits, h.array.rows, h.adc.range) for h in hardware.values()][:3] == [
        (10, 64, 0.5),
        (6, 64, 0.5),
        (8, 1152, 0.5),
    ]


def test_a_float_rule_moves_no_other_site():
    plain = on_imc(net, Hardware()).ledger(W, X)
    ruled = on_imc(net, Hardware(), [Rule("stage1/block0", path="float")]).ledger(W, X)
    assert [e.site.spec.index for e in plain][1:] == [e.site.spec.index for e in ruled if e.site]
    assert ruled["stage1/block0"].is_float
    assert ruled["stage1/block0"].mvms == ()


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: Rule("stage9/*", path="float"), "rule 'stage9/\\*' matches no site; nearest of 7 sites: .*stage1"),
        (lambda: Rule("block0", path="float"), "matches no site"),
        (lambda: Rule("", path="float"), "give a pattern"),
        (lambda: Rule("*"), "changes nothing"),
        (lambda: Rule("*", path="float", overrides={"adc.bits": 4}), "overrides mean nothing"),
        (lambda: Rule("*", path="analog"), "rule '\\*': path = 'analog' is not possible"),
        (lambda: Rule("*", overrides={"adc.bitz": 4}), "'adc.bitz' is no hardware key; nearest: adc.bits"),
        (lambda: Rule("*", overrides={"adc": 4}), "'adc' is no hardware key"),
        (
            lambda: Rule("*", overrides={"adc.bits": "4"}),
            "adc.bits = '4' is not possible: it should be a valid integer",
        ),
        (lambda: Rule("*", overrides={"adc.bits": 99}), "adc.bits = 99 is not possible: allowed is 2 to 24"),
    ],
)
def test_bad_rules_say_what_is_wrong(rule, message):
    with pytest.raises(UserError, match=message):
        on_imc(net, Hardware(), [rule()]).ledger(W, X)


def test_a_rule_for_a_function_without_matmuls():
    with pytest.raises(UserError, match="has no matmul"):
        on_imc(jnp.sin, Hardware(), [Rule("*", path="float")]).ledger(W)


def test_override_takes_every_known_key():
    for key in known_keys():
        value = Hardware()
        for part in key.split("."):
            value = getattr(value, part)
        assert override(Hardware(), {key: value}) == Hardware()
    listed = override(Hardware(), {"mvms": ["forward"], "adc.bits": 4})
    assert (listed.mvms, listed.adc.bits) == (("forward",), 4)
    assert hash(listed) != hash(Hardware())
