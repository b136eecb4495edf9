"""Operands that a format is not applied to stay float, so that what each of the others costs can be told."""

import itertools

import numpy as np
import pytest
from imc_sites import UNSIGNED, dot_site, hardware, run
from tiers import slow

from imctrain.errors import UserError
from imctrain.settings import OPERANDS, FormatSpec

CHOICES = [c for n in range(4) for c in itertools.combinations(OPERANDS, n)]


def coded(x, top, low):
    scale = np.abs(x).max() / top
    return np.clip(np.round(x / scale), low, top) * scale


def levels(g):
    """Radix-4 by the truth table, nearest."""
    scale = np.abs(g).max() / 4096
    m = 1.6 * np.abs(g) / scale
    return np.where(
        m < 1, 0.0, scale * np.sign(g) * np.minimum(4.0 ** np.floor(np.log(np.maximum(m, 1)) / np.log(4)), 4096)
    )


@pytest.mark.parametrize("activation_clip", [slow("max"), "pact"])
@pytest.mark.parametrize("quantise", CHOICES, ids="+".join)
def test_each_operand_is_coded_or_float(quantise, activation_clip):
    rng = np.random.default_rng(len(quantise))
    x = rng.uniform(0, 3, (16, 8)).astype(np.float32)
    w, g = rng.normal(size=(8, 4)).astype(np.float32), rng.normal(size=(16, 4)).astype(np.float32)
    formats = FormatSpec(
        quantise=quantise, gradient_rounding="nearest", weight_clip="max", activation_clip=activation_clip
    )
    site = dot_site(16, 8, 4, hardware(formats=formats, path="digital"), lhs=UNSIGNED)
    y, dx, dw, _ = run(site, x, w, g)
    # A learned clip starts at 3.6 rms, beyond the largest of uniform values: at the largest.
    x_used = coded(x, 15, 0) if "activations" in quantise else x
    w_used = coded(w, 7, -7) if "weights" in quantise else w
    g_used = levels(g) if "gradients" in quantise else g
    np.testing.assert_allclose(y, x_used @ w_used, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(dx, g_used @ w_used.T, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(dw, x_used.T @ g_used, rtol=2e-5, atol=2e-4)


def test_an_array_takes_codes_only():
    with pytest.raises(UserError, match=r"formats\.quantise = \('weights',\).*all three on an array"):
        hardware(formats=FormatSpec(quantise=("weights",)), path="exact")
    with pytest.raises(UserError, match=r"formats\.quantise\.0 = 'biases' is not possible: allowed is 'weights', 'act"):
        FormatSpec(quantise=("biases",))
    hardware(formats=FormatSpec(quantise=()), path="exact", mvms=())
