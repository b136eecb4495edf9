"""Several devices: meshes and `jax.shard_map` around `on_imc` work, or are refused in one line that says what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tiers import slow

BEGIN = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from imctrain import Hardware, Rule, on_imc
from imctrain.errors import UserError

W = jax.random.normal(jax.random.key(0), (20, 6))
X = jax.random.normal(jax.random.key(1), (4, 20))
KEY = jax.random.key(2)
HARDWARE = Hardware(path="digital")

def fn(w, x):
    return jnp.sum(jax.nn.relu(x @ w) ** 2, axis=1)

def mesh_of(kind):
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,))
    return mesh, jax.device_put(W, NamedSharding(mesh, P())), jax.device_put(X, NamedSharding(mesh, P("data")))

def same(got, expected):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(jax.device_get(a), b, rtol=1e-5, atol=1e-4), got, expected)

def refused(call, *said):
    try:
        call()
    except UserError as error:
        assert "\\n" not in str(error) and all(word in str(error) for word in said), error
    else:
        raise AssertionError("nothing was refused")

imc = on_imc(fn, HARDWARE)
step = jax.jit(jax.value_and_grad(lambda w, x: jnp.sum(imc(w, x, key=KEY))))
expected = step(W, X)
"""

AUTO = """
mesh, w, x = mesh_of(AxisType.Auto)
same(step(w, x), expected)
with jax.set_mesh(mesh):
    same(step(w, x), expected)
    same(step(W, X), expected)
"""

EXPLICIT = """
mesh, w, x = mesh_of(AxisType.Explicit)
said = ("site dot: ", "sharded over mesh axis 'data', which is Explicit", "AxisType.Auto", "reshard", "Rule('dot'")
refused(lambda: imc(w, x, key=KEY), *said)
refused(lambda: imc.init(w, x), *said)
refused(lambda: jax.jit(lambda w, x: imc(w, x, key=KEY))(w, x), *said)
with jax.set_mesh(mesh):
    refused(lambda: step(w, x), *said)
    same(step(W, X), expected)
    same(step(jax.sharding.reshard(w, P()), jax.sharding.reshard(x, P())), expected)
    plain = on_imc(fn, HARDWARE, [Rule("dot", path="float")])
    same(jax.jit(lambda w, x: plain(w, x, key=KEY))(w, x), fn(W, X))
"""

SHARD_MAP = """
for kind in AxisType.Auto, AxisType.Explicit:
    mesh, w, x = mesh_of(kind)

    def mapped(call, **options):
        return jax.shard_map(call, mesh=mesh, in_specs=(P(), P("data")), out_specs=P("data"), **options)

    def per_device(w, x):
        return imc(w, x, key=KEY)

    refused(lambda: jax.jit(mapped(per_device))(w, x), "tracks what varies over mesh axis 'data'", "check_vma=False")
    got = jax.jit(mapped(per_device, check_vma=False))(w, x)
    # Each device encodes its own part of the batch.
    same(got, jnp.concatenate([imc(W, part, key=KEY) for part in jnp.split(X, 2)]))
    gradient = jax.jit(jax.grad(lambda w: jnp.sum(mapped(per_device, check_vma=False)(w, x))))(w)
    parts = [jax.grad(lambda w: jnp.sum(imc(w, part, key=KEY)))(W) for part in jnp.split(X, 2)]
    same(gradient, parts[0] + parts[1])
    refused(lambda: on_imc(mapped(lambda w, x: x @ w), HARDWARE).ledger(w, x), "inside shard_map", "Rule('shard_map'")
"""


@pytest.mark.parametrize(
    "program", [slow(AUTO, id="auto"), slow(EXPLICIT, id="explicit"), slow(SHARD_MAP, id="shard_map")]
)
def test_two_devices(program):
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program], env={**os.environ, **flags}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
