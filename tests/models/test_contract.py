"""What holds for every network of the list, and where the list is repeated."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from tiers import slow

from imctrain.errors import UserError
from imctrain.intercept import count_matmuls, on_imc
from imctrain.models import MODELS, build, default_width, model
from imctrain.settings import Hardware
from imctrain.training.network import Network

ROOT = Path(__file__).parents[2]
SHAPES = ((8, 8, 1), (28, 28, 1), (32, 32, 3))
SMALL_WIDTH = 8
"""Every network can have it."""
QUICK = [name if name in ("mlp", "vit") else slow(name) for name in MODELS]
"""Those that compile fastest, one of a kind."""
TRACED = [slow(name) if name in ("resnet18", "resnet20", "vgg9") else name for name in MODELS]
"""Less the deepest, whose tracing takes longest."""


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: build(name, rngs=nnx.Rngs(0), **options))


def parameters(made: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(made, nnx.Param)))


def small(name: str, seed: int = 0) -> Network:
    return Network(name, shape=(8, 8, 1), classes=5, width=SMALL_WIDTH, seed=seed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", MODELS)
def test_logits_for_every_image_size(name, shape):
    graph, state = nnx.split(abstract(name, shape=shape, classes=7))
    images = jax.ShapeDtypeStruct((3, *shape), jnp.float32)
    logits = jax.eval_shape(lambda s, x: nnx.merge(graph, s)(x), state, images)
    assert (logits.shape, logits.dtype) == ((3, 7), jnp.float32)


@pytest.mark.parametrize("name", TRACED)
def test_width_scales_the_parameters(name):
    make = functools.partial(abstract, name, shape=(32, 32, 3), classes=10)
    default = parameters(make())
    assert parameters(make(width=default_width(name))) == default
    assert 2 < parameters(make(width=2 * default_width(name))) / default < 9
    for width in (0, -1, 10**9):
        with pytest.raises(UserError, match=f"model width {width} is not possible"):
            make(width=width)


@pytest.mark.parametrize("name", QUICK)
def test_initialisation_repeats_and_follows_the_seed(name):
    first, again, other = (jax.tree.leaves(small(name, seed).params) for seed in (0, 0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    changed = [not np.array_equal(a, b) for a, b in zip(first, other, strict=True)]
    assert changed == [leaf.ndim > 1 for leaf in first]


@pytest.mark.no_leak_checks(reason="it only runs networks of flax")
@pytest.mark.parametrize("name", QUICK)
def test_steps_in_float_move_every_parameter_and_lower_the_loss(name):
    network = small(name)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(16, 8, 8, 1)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 5, 16))

    @functools.partial(jax.value_and_grad, has_aux=True)
    def loss(params, rest):
        logits, rest = network.train_forward(params, rest, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), rest

    @jax.jit
    def step(params, rest):
        (value, rest), grads = loss(params, rest)
        return value, jax.tree.map(lambda p, g: p - 0.2 * g, params, grads), rest

    params, rest, losses = network.params, network.rest, []
    for _ in range(12):
        value, params, rest = step(params, rest)
        losses.append(float(value))
    assert losses[-1] < 0.95 * losses[0]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), network.params, params)))
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((params, rest)))
    statistics = jax.tree.leaves(rest.filter(nnx.BatchStat))
    assert all(bool((leaf != 0).any()) for leaf in statistics)


@pytest.mark.parametrize("name", TRACED)
def test_every_matmul_has_a_site_of_its_own(name):
    network = small(name)
    images = jax.ShapeDtypeStruct((2, 8, 8, 1), jnp.float32)
    given = network.params, network.rest, images
    matmuls = count_matmuls(jax.make_jaxpr(network.train_forward)(*given)).outside
    sites = on_imc(network.train_forward, Hardware()).ledger(*given).names
    assert (sites[0], sites[-1]) == ("stem", "head")
    assert len(set(sites)) == len(sites) == matmuls
    assert not any(re.search(r"dot_general|conv_general", site) for site in sites)


def test_an_unknown_network_is_told_with_all_there_are():
    with pytest.raises(UserError, match=f"did you mean resnet20.*allowed is one of {', '.join(MODELS)}"):
        model("resnet21")


def test_the_list_is_repeated_in_full_where_users_read_of_it():
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert f"({', '.join(MODELS)})" in readme
    *most, last = MODELS
    assert f"{', '.join(most)} or {last}." in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_the_list_is_read_without_flax():
    script = (
        "import sys; from imctrain.models import MODELS; assert not {'jax', 'flax'} & set(sys.modules); print(*MODELS)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == list(MODELS)
