"""A transformed function can be copied and pickled; a copy traces for itself."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiers import slow

from imctrain.intercept import Rule, on_imc
from imctrain.settings import Hardware

W, X = jnp.ones((4, 4)) / 4, jnp.ones((3, 4))


def product(w, x):
    return jnp.sum(x @ w)


@pytest.mark.no_leak_checks("looking for leaks traces every eager call anew")
@pytest.mark.parametrize("copied", [slow(copy.copy), slow(copy.deepcopy), lambda f: pickle.loads(pickle.dumps(f))])
def test_a_function_can_be_copied_and_pickled_before_and_after_calls(copied, key):
    rules = [Rule("dot", path="exact")]
    imc = on_imc(product, Hardware(), rules)
    assert copied(imc)(W, X, key=key) == imc(W, X, key=key)
    other = copied(imc)
    assert (other.hardware, other.rules, other.weights) == (imc.hardware, imc.rules, imc.weights)
    state = imc.init(W, X)
    value, telemetry = jax.value_and_grad(lambda s: other(W, X, key=key, state=s))(state)
    assert value == imc(W, X, key=key)
    assert copied(imc).site("dot").spec == imc.site("dot").spec
    jax.tree.map(np.testing.assert_array_equal, copied(imc).update(state, telemetry), imc.update(state, telemetry))
