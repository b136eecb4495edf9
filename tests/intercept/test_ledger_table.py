"""A ledger prints as a table whose numbers are those of its entries."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
from jax import lax

from imctrain.intercept import Rule, on_imc
from imctrain.settings import Hardware

X = jnp.ones((3, 4))
W = {"a": jnp.ones((4, 5)), "b<c>": jnp.ones((5, 5)), "d": jnp.ones((5, 2))}


def net(w, x):
    with jax.named_scope("first"):
        x = x @ w["a"]
    with jax.named_scope("loop<1>"):
        x = lax.scan(lambda carry, _: (carry @ w["b<c>"], None), x, None, length=4)[0]
    with jax.named_scope("last"):
        return x @ w["d"]


def ledger():
    return on_imc(net, Hardware(), [Rule("last", path="float")]).ledger(W, X)


def test_a_line_for_each_mvm():
    found = ledger()
    head, *lines = str(found).splitlines()
    cells = [re.split(r" {2,}", line.strip()) for line in lines]
    assert re.split(r" {2,}", head)[3] == "vectors x contraction x outputs"
    # `first` has no gradient of its input, which is data.
    assert [row[0] for row in cells] == ["first", "exact", "loop<1>", "exact", "exact", "last"]
    assert cells[0][1:4] == ["exact", "forward", "3 x 4 x 5"]
    assert cells[2][1:4] == ["exact", "forward", "3 x 5 x 5"]
    assert cells[-1] == ["last", "float", "dot"]
    printed = [int(row[-1].replace(",", "")) for row in cells[:-1]]
    assert printed == [plan.conversions * entry.executions for entry in found for plan in entry.mvms]
    assert repr(found) == str(found)


def test_a_notebook_shows_the_same_cells():
    found = ledger()
    page = found._repr_html_()
    assert page.count("<tr>") == len(str(found).splitlines())
    assert "loop&lt;1&gt;" in page
    assert "loop<1>" not in page
    assert page.startswith("<table>")
