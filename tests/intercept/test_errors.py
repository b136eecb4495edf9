"""What cannot run on the array is an error that names it, unless a rule leaves it digital."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from imctrain.errors import UserError
from imctrain.intercept import Rule, on_imc
from imctrain.intercept._jax_internals import sub_jaxprs
from imctrain.intercept.primitives import HIDDEN_MATMULS, LINEAR_ALGEBRA
from imctrain.settings import Hardware

W, X = jnp.eye(4) * 2, jnp.ones((3, 4))


@jax.custom_batching.custom_vmap
def custom_mapped(w, x):
    return x @ w


custom_mapped.def_vmap(lambda size, batched, w, x: (x @ w, True))


def sharded(w, x):
    mesh = jax.make_mesh((1,), ("data",))
    spec = jax.sharding.PartitionSpec()
    return jax.shard_map(lambda w, x: x @ w, mesh=mesh, in_specs=(spec, spec), out_specs=spec)(w, x)


def pallas(w, x):
    from jax.experimental import pallas as pl

    def kernel(w_ref, x_ref, out_ref):
        out_ref[...] = x_ref[...] @ w_ref[...]

    return pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct((3, 4), jnp.float32), interpret=True)(w, x)


def sparse(kind):
    from jax.experimental import sparse as formats

    return lambda w, x: (getattr(formats, kind).fromdense(w, nse=4) @ x.T).T


def complex_product(w, x):
    return jnp.real(x.astype(jnp.complex64) @ w.astype(jnp.complex64))


CASES = {
    "ragged_dot_general": lambda w, x: lax.ragged_dot(x, w[None], jnp.array([3])),
    "cholesky": lambda w, x: x * jnp.linalg.cholesky(w)[0],
    "triangular_solve": lambda w, x: jax.scipy.linalg.solve_triangular(w, x.T),
    "lu": lambda w, x: jnp.linalg.solve(w, x.T),
    "eigh": lambda w, x: x * jnp.linalg.eigvalsh(w),
    "svd": lambda w, x: x * jnp.linalg.svd(w)[1],
    "shard_map": sharded,
    "pallas_call": pallas,
    "custom_vmap_call": custom_mapped,
    "complex": complex_product,
    "bcoo_dot_general": sparse("BCOO"),
    "bcsr_dot_general": sparse("BCSR"),
    "coo_matmat": sparse("COO"),
    "csr_matmat": sparse("CSR"),
}


@pytest.mark.parametrize("what", CASES)
def test_it_is_an_error_that_names_the_site_and_what_it_is(what):
    def fn(w, x):
        with jax.named_scope("block"):
            return CASES[what](w, x)

    with pytest.raises(UserError, match=f"site block.*: .*{what}.* leave it digital with Rule\\('block"):
        on_imc(fn, Hardware()).ledger(W, X)


@pytest.mark.parametrize("what", CASES)
def test_a_rule_leaves_it_as_it_is(what, key):
    imc = on_imc(CASES[what], Hardware(), [Rule("*", path="float")])
    assert jnp.allclose(imc(W, X, key=key), CASES[what](W, X), atol=1e-5)
    assert all(entry.is_float and entry.site is None for entry in imc.ledger(W, X))


def test_kernels_without_matmuls_are_left_alone():
    def fn(w, x):
        from jax.experimental import pallas as pl

        def double(x_ref, out_ref):
            out_ref[...] = 2 * x_ref[...]

        return pl.pallas_call(double, out_shape=jax.ShapeDtypeStruct((3, 4), jnp.float32), interpret=True)(x @ w)

    assert on_imc(fn, Hardware()).ledger(W, X).names == ["dot"]
    assert on_imc(lambda w, x: jnp.fft.fft(x @ w), Hardware()).ledger(W, X).names == ["dot"]


def test_a_kernel_gradient_of_a_grouped_convolution_inside_is_named():
    image, kernel = jnp.ones((2, 5, 5, 4)), jnp.ones((3, 3, 2, 4))

    def fn(w, x):
        def loss(w):
            return jnp.sum(
                lax.conv_general_dilated(
                    x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
                )
                ** 2
            )

        return jax.grad(loss)(w)

    with pytest.raises(UserError, match=r"site conv#2: .*batch_group_count"):
        on_imc(fn, Hardware()).ledger(kernel, image)


def test_two_gradients_are_named():
    @jax.custom_vjp
    def f(x):
        return x

    f.defvjp(lambda x: (x, None), lambda _, g: (g @ g,))
    with pytest.raises(UserError, match="site bwd: both operands are gradients"):
        on_imc(f, Hardware()).ledger(W)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: on_imc(3, Hardware()), "give a function"),
        (lambda _: on_imc(jnp.sin, "exact"), "give a Hardware"),
        (lambda _: on_imc(jnp.sin, Hardware(), rules="head"), "give a list of imctrain.Rule"),
        (lambda _: on_imc(jnp.sin, Hardware(), rules=None), "give a list of imctrain.Rule"),
        (lambda _: on_imc(jnp.sin, Hardware(), rules=Rule("*", path="float")), "give a list of imctrain.Rule"),
        (lambda _: on_imc(jnp.sin, Hardware(), [{"match": "*", "path": "float"}]), "give a list of imctrain.Rule"),
        (lambda _: on_imc(jnp.sin, Hardware(), weights="w"), "give the position of an argument"),
        (lambda _: on_imc(jnp.sin, Hardware(), weights=None), "give the position of an argument"),
        (lambda _: on_imc(jnp.sin, Hardware(), weights=True), "give the position of an argument"),
        (lambda _: on_imc(jnp.dot, Hardware(), weights=2).ledger(W, X), "weights = 2 names no argument"),
        (lambda _: on_imc(jnp.dot, Hardware()).update({}, {}), "before init"),
        (lambda key: on_imc(jnp.dot, Hardware())(W, W, key=key, state={}), "lacks site 'dot'"),
        (lambda key: on_imc(jnp.sin, Hardware())(W, key=key, state={"dot": {}}), "has site 'dot'"),
        (lambda _: on_imc(jnp.dot, Hardware()).ledger(W, W)["dut"], "no site is called 'dut'; nearest: dot"),
    ],
)
def test_wrong_use(call, message, key):
    with pytest.raises(UserError, match=message):
        call(key)


def test_the_primitives_are_known_to_this_jax():
    """Names move between releases: a renamed primitive would pass unnoticed."""
    import importlib

    homes = ["lax.lax", "lax.linalg", "lax.scaled_dot", "lax.control_flow.solves", "ffi"]
    homes += ["cudnn.fused_attention_stablehlo", "cudnn.scaled_matmul_stablehlo"]
    homes = [f"_src.{home}" for home in (*homes, "pallas.primitives", "pallas.mosaic.primitives")]
    homes += [f"experimental.sparse.{home}" for home in ("bcoo", "bcsr", "coo", "csr", "linalg")]
    homes += [
        "_src.pallas.mosaic_gpu.primitives",
        "_src.callback",
        "experimental.sparse._lowerings",
        "experimental.rnn",
    ]
    known = set()
    for home in homes:
        module = importlib.import_module(f"jax.{home}")
        known |= {value.name for value in vars(module).values() if isinstance(value, jax.extend.core.Primitive)}
    assert known >= HIDDEN_MATMULS | LINEAR_ALGEBRA


def test_every_listed_solver_is_one_whose_derivative_multiplies():
    jaxpr = jax.make_jaxpr(jax.grad(lambda a: jnp.linalg.cholesky(a).sum()))(W)

    def names(j):
        return {e.primitive.name for e in j.eqns} | {n for e in j.eqns for s in sub_jaxprs(e.params) for n in names(s)}

    assert {"cholesky", "dot_general"} <= names(jaxpr.jaxpr)
    assert np.isfinite(np.asarray(jax.grad(lambda a: jnp.linalg.cholesky(a).sum())(W))).all()


def loss(w, x):
    return jnp.sum(jnp.tanh(x @ w) ** 2)


DERIVATIVES = {
    "gradient of a gradient": lambda f: jax.grad(lambda w: jnp.sum(jax.grad(f)(w) ** 2))(W),
    "jvp": lambda f: jax.jvp(f, (W,), (W,)),
    "jacfwd": lambda f: jax.jacfwd(f)(W),
    "product with the hessian": lambda f: jax.jvp(jax.grad(f), (W,), (W,)),
    "hessian": lambda f: jax.hessian(f)(W),
    "linearize": lambda f: jax.linearize(f, W)[1](W),
}


@pytest.mark.no_leak_checks("JAX looks for leaks before it passes an error on, and fails itself")
@pytest.mark.parametrize("path", ["exact", "digital"])
@pytest.mark.parametrize("which", DERIVATIVES)
def test_any_derivative_but_the_first_in_reverse_mode_is_refused(which, path, key):
    imc = on_imc(loss, Hardware(path=path))
    with pytest.raises(UserError, match=r"site dot: the array computes first derivatives in reverse mode only"):
        DERIVATIVES[which](lambda w: imc(w, X, key=key))


@pytest.mark.parametrize("which", DERIVATIVES)
def test_a_float_site_has_every_derivative(which, key):
    imc = on_imc(loss, Hardware(), [Rule("dot", path="float")])
    got = DERIVATIVES[which](lambda w: imc(w, X, key=key))
    expected = DERIVATIVES[which](lambda w: loss(w, X))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), got, expected)


CONV = ("NHWC", "HWIO", "NHWC")
RANKS = {
    "dot": (lambda w, x: jnp.sum(jnp.tanh(x @ w) ** 2), (4, 4), (3, 4)),
    "conv": (
        lambda w, x: jnp.sum(lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=CONV) ** 2),
        (3, 3, 2, 4),
        (2, 5, 5, 2),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "digital"])
@pytest.mark.parametrize("what", RANKS)
def test_ranks_that_may_not_be_promoted_are_promoted_in_our_own_code_only(what, path, key):
    fn, *shapes = RANKS[what]
    w, x = (jax.random.normal(key, shape) for shape in shapes)

    def trained():
        imc = on_imc(fn, Hardware(path=path))
        state = imc.init(w, x)
        step = jax.jit(jax.value_and_grad(lambda w, s: imc(w, x, key=key, state=s), argnums=(0, 1)))
        value, (gradient, telemetry) = step(w, state)
        return value, gradient, imc.update(state, telemetry)

    expected = trained()
    with jax.numpy_rank_promotion("raise"):
        jax.tree.map(np.testing.assert_array_equal, trained(), expected)
        with pytest.raises(ValueError, match="rank_promotion"):
            on_imc(lambda w, x: x @ w + w[0, ..., 0], Hardware()).ledger(jnp.ones((4, 4, 4)), X)
