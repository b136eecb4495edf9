"""What codes lose of a gradient's sums comes back: exactly for a constant input, as its definition says elsewhere."""

import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import conv_matrices
from imc_sites import UNSIGNED, conv_site, dot_site, hardware, integer_operands, run
from tiers import slow

from imctrain.settings import FormatSpec, NoiseSpec

CLIPPED = FormatSpec(weight_clip="max", activation_clip="max", gradient_rounding="nearest", gradient_clip=1.0)


def formats(preserve):
    return CLIPPED.replace(preserve_sums=preserve)


def skewed(rng, shape):
    """Gradients whose tails are on one side, as saturation needs to be a bias."""
    return (rng.exponential(1.0, shape) ** 2 - 2.0).astype(np.float32)


def test_sums_of_a_constant_input_are_exact():
    rng = np.random.default_rng(0)
    x, (w,) = np.full((64, 5), 15.0, np.float32), integer_operands(rng, (5, 3))
    g = skewed(rng, (64, 3))
    errors = []
    for preserve in (False, True):
        site = dot_site(64, 5, 3, hardware(formats=formats(preserve), path="digital"), lhs=UNSIGNED)
        _, _, dw, _ = run(site, x, w, g)
        errors.append(np.abs(dw - x.T @ g).max() / np.abs(x.T @ g).max())
    assert errors[0] > 0.1
    assert errors[1] < 1e-5


@pytest.mark.parametrize("groups", [slow(1), 2])
@pytest.mark.parametrize("path", ["digital", slow("exact")])
def test_convolution_gives_back_what_its_positions_lost(groups, path):
    """The difference of the two is mean(r) times the sum of patches, by loops; on the array too, in the same noise."""
    rng = np.random.default_rng(groups)
    x, w = integer_operands(rng, (3, 7, 6, 4), (3, 3, 4 // groups, 6), low=0)
    x.flat[0] = 15
    patches, _, out = conv_matrices(x, w, (2, 1), ((1, 0), (1, 1)), (1, 1), (1, 1), groups)
    g = skewed(rng, (3, *out, 6))
    gradients = []
    for preserve in (False, True):
        hw = hardware(formats=formats(preserve), path=path, noise=NoiseSpec(sigma_array_lsb=0.5))
        site = conv_site(x, w, hw, (2, 1), ((1, 0), (1, 1)), (1, 1), (1, 1), groups, lhs=UNSIGNED)
        gradients.append(run(site, x, w, g)[2])
    scale = np.sqrt(np.mean(np.square(g))) / 4096
    codes = scale * np.sign(g) * np.minimum(4.0 ** np.floor(np.log(1.6 * np.abs(g) / scale) / np.log(4)), 4096)
    lost = (g - codes).reshape(-1, groups, 6 // groups).mean(axis=0)
    expected = np.einsum("gk,gn->kgn", patches.sum(axis=1), lost).reshape(w.shape)
    difference = gradients[1] - gradients[0]
    np.testing.assert_allclose(difference, expected, atol=2e-3 * np.abs(gradients[0]).max())
    assert np.abs(difference).max() > 0.05 * np.abs(gradients[0]).max()


def test_input_gradients_are_left_alone():
    rng = np.random.default_rng(3)
    x, w = integer_operands(rng, (32, 6), (6, 4), low=0)
    x.flat[0] = 15
    g = skewed(rng, (32, 4))
    results = [
        run(dot_site(32, 6, 4, hardware(formats=formats(p), path="digital"), lhs=UNSIGNED), x, w, g)
        for p in (False, True)
    ]
    assert np.array_equal(results[0][1], results[1][1])
    assert jnp.any(results[0][2] != results[1][2])
