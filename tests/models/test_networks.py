"""The networks one by one: known sizes, names of sites, batch norm, what they refuse."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiers import slow

from imctrain.errors import UserError
from imctrain.models import MODELS, build

CIFAR = (32, 32, 3)
SMALL_WIDTHS = {"mlp": 8, "cnn5": 2, "resnet6": 2, "resnet8": 2, "vgg9": 2, "resnet20": 4, "resnet18": 2, "vit": 8}


def small(name: str, shape: tuple[int, int, int] = (8, 8, 1), seed: int = 0) -> nnx.Module:
    return build(name, shape=shape, classes=5, width=SMALL_WIDTHS[name], rngs=nnx.Rngs(seed))


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: build(name, rngs=nnx.Rngs(0), **options))


def parameters(model: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param)))


def sites(model: nnx.Module, shape: tuple[int, int, int]) -> list[tuple[str, str]]:
    """(scope, primitive) of each matmul and convolution, in program order."""
    graph, state = nnx.split(model)
    images = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    program = jax.make_jaxpr(lambda s, x: nnx.merge(graph, s)(x))(state, images)
    found = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                # jnp.einsum opens a scope of its own, named by its subscripts.
                scopes = str(equation.source_info.name_stack).split("/")
                scope = "/".join(name for name in scopes if "->" not in name)
                found.append((scope, equation.primitive.name))
            for inner in jax.core.jaxprs_in_params(equation.params):
                walk(inner)

    walk(program.jaxpr)
    return found


KNOWN_COUNTS = {
    # 3072-256-256-10 with batch norm after each hidden layer.
    "mlp": 3072 * 256 + 256 * 256 + 2 * 512 + 2570,
    # The convolutions and batch norms of 16-32-32-64-64, and a 64-10 head.
    "cnn5": 9 * (3 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 2 * 208 + 650,
    # The convolutions and batch norms of 48-96-96-192-192, and a 192-10 head.
    "resnet6": 9 * (3 * 48 + 48 * 96 + 96 * 96 + 96 * 192 + 192 * 192) + 2 * 624 + 1930,
    # The same of 32-64-64-128-128-256-256, and a 256-10 head.
    "resnet8": 9 * (3 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256) + 2 * 928 + 2570,
    # The 0.27 M of He et al., table 6.
    "resnet20": 269_722,
    "resnet18": 11_173_962,
}


@pytest.mark.parametrize("name", KNOWN_COUNTS)
def test_parameter_counts(name):
    assert parameters(abstract(name, shape=CIFAR, classes=10)) == KNOWN_COUNTS[name]


@pytest.mark.slow
def test_site_names():
    names = {}
    for name in MODELS:
        model = abstract(name, shape=(8, 8, 1), classes=5, width=SMALL_WIDTHS[name])
        names[name] = [scope for scope, _ in sites(model, (8, 8, 1))]
    assert names["mlp"] == ["stem", "layer1", "head"]
    assert names["cnn5"] == ["stem", "conv2", "conv3", "conv4", "conv5", "head"]
    stages = [f"stage{i}/{part}" for i in (1, 2) for part in ("down", "residual")]
    assert names["resnet6"] == ["stem", *stages, "head"]
    third = [f"stage3/{part}" for part in ("down", "residual")]
    assert names["resnet8"] == ["stem", *stages, *third, "head"]
    assert names["vgg9"] == [
        *("stem", "stage1/conv2", "stage2/conv1", "stage2/conv2", "stage3/conv1", "stage3/conv2"),
        *("fc1", "fc2", "head"),
    ]
    blocks = [f"stage{stage}/block{block}" for stage in (1, 2, 3) for block in range(3)]
    assert names["resnet20"] == ["stem", *(f"{block}/conv{i}" for block in blocks for i in (1, 2)), "head"]
    assert len(names["resnet18"]) == 1 + 16 + 3 + 1
    assert [name for name in names["resnet18"] if "shortcut" in name] == [
        f"stage{stage}/block0/shortcut" for stage in (2, 3, 4)
    ]
    parts = ("attn/qkv", "attn/qk", "attn/av", "attn/out", "mlp/fc1", "mlp/fc2")
    assert names["vit"] == ["stem", *(f"block{i}/{part}" for i in (0, 1) for part in parts), "head"]
    for found in names.values():
        assert (found[0], found[-1]) == ("stem", "head")
        assert len(set(found)) == len(found)


def test_default_vit_has_four_blocks_and_heads():
    model = abstract("vit", shape=CIFAR, classes=10)
    assert len(model.blocks) == model.blocks[0].attention.heads == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn5", "resnet20"])
def test_evaluation_uses_the_running_statistics(name):
    model = small(name)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 8, 1)), jnp.float32)
    for _ in range(3):
        model(images)
    model.eval()
    together = model(images)
    before = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
    apart = jnp.concatenate([model(images[i : i + 1]) for i in range(8)])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-5)
    after = jax.tree.leaves(nnx.state(model, nnx.BatchStat))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    model.train()
    assert not np.allclose(model(images), together)


@pytest.mark.slow
def test_residual_branches_start_as_the_identity():
    model = small("resnet20")
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8, 8, 1)), jnp.float32)
    features = jax.nn.relu(model.stem(images))
    np.testing.assert_array_equal(model.stages[0][2](features), features)


@pytest.mark.parametrize("name", ["mlp", "cnn5", slow("vgg9"), slow("resnet20"), slow("resnet18")])
def test_layers_after_the_stem_see_non_negative_inputs(name, monkeypatch):
    """Each of them follows a ReLU, so unsigned formats fit."""
    lowest = []

    def recording(call):
        def wrapped(layer, x):
            lowest.append(float(x.min()))
            return call(layer, x)

        return wrapped

    for layer in (nnx.Conv, nnx.Linear):
        monkeypatch.setattr(layer, "__call__", recording(layer.__call__))
    images = jnp.asarray(np.random.default_rng(1).normal(size=(4, 8, 8, 1)), jnp.float32)
    small(name)(images)
    assert len(lowest) > 2
    assert lowest[0] < 0
    assert min(lowest[1:]) >= 0


def test_impossible_models_are_refused():
    make = functools.partial(build, rngs=nnx.Rngs(0))
    cases = [
        (
            "resnet21",
            CIFAR,
            10,
            None,
            r"did you mean resnet20\?.*one of mlp, cnn5,",
        ),
        ("transformer", CIFAR, 10, None, "'transformer' is not known: allowed"),
        ("cnn5", CIFAR, 10, 0, "width 0"),
        ("resnet6", (6, 8, 1), 10, None, "6x8 is below 7x7"),
        ("resnet8", (8, 7, 1), 10, None, "8x7 is below 8x8"),
        ("cnn5", CIFAR, 1, None, "1 classes"),
        ("cnn5", (32, 0, 3), 10, None, "image shape"),
        ("vgg9", (4, 8, 1), 10, None, "vgg9 halves its input 3 times: 4x8"),
        ("vit", (10, 8, 1), 10, None, "4x4 patches: 10x8 does not divide"),
        ("vit", CIFAR, 10, 80, "80 is no multiple of 32"),
    ]
    for name, shape, classes, width, message in cases:
        with pytest.raises(UserError, match=message):
            make(name, shape=shape, classes=classes, width=width)
