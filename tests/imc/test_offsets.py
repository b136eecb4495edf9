"""Column offsets and what takes them out: chopping and offset calibration; and MVMs that are left digital."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import UNSIGNED, WIDE, conv_site, dot_site, hardware, integer_operands, integers, levels, run

from imctrain.errors import UserError
from imctrain.imc.chip.columns import macro_corrections, macro_errors
from imctrain.imc.mvm.geometry import ConvGeometry
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, FormatSpec

OFFSETS = ChipSpec(sigma_array_lsb=0.55, offset_std_lsb=2.0)
DRAWS = 200


def error_of_mean(hw, kind="dot"):
    """(rms over outputs of the mean error of DRAWS executions, rms that their spread alone gives it), by MVM."""
    rng = np.random.default_rng(3)
    if kind == "dot":
        x, w = integer_operands(rng, (24, 144), (144, 40))
        g = levels(rng, (24, 40))
        make = lambda hw: dot_site(24, 144, 40, hw)  # noqa: E731
        ideal = (x @ w, g @ w.T, x.T @ g)
    else:
        x, w = integer_operands(rng, (2, 6, 6, 4), (3, 3, 4, 40))
        g = levels(rng, (2, 6, 6, 40))
        make = lambda hw: conv_site(x, w, hw, (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)  # noqa: E731
        numbers = ("NHWC", "HWIO", "NHWC")
        conv = lambda x, w: jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=numbers)  # noqa: E731
        out, pullback = jax.vjp(conv, jnp.asarray(x), jnp.asarray(w))
        ideal = (out, *pullback(jnp.asarray(g)))
    site = make(hw)
    state = site.init_state()

    def one(key):
        out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), jnp.asarray(x), jnp.asarray(w))
        return out, *pullback(jnp.asarray(g))

    samples = jax.jit(lambda k: jax.lax.map(one, k))(jax.random.split(jax.random.key(5), DRAWS))
    rms = []
    for sample, product in zip(samples, ideal, strict=True):
        values = np.asarray(sample, np.float64)
        bias = values.mean(axis=0) - np.asarray(product, np.float64)
        rms.append((np.sqrt(np.mean(bias**2)), np.sqrt(np.mean(values.var(axis=0)) / DRAWS)))
    return rms


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dot", "conv"])
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_chopping_turns_offsets_into_noise_without_bias(kind, path):
    array = ArraySpec(replicate=True)
    plain = error_of_mean(hardware(array=array, chip=OFFSETS, path=path), kind)
    chopped = error_of_mean(hardware(array=ArraySpec(replicate=True, chop=True), chip=OFFSETS, path=path), kind)
    for mvm in range(3):
        # Without chopping the mean error is the offset, many times what the spread explains.
        assert plain[mvm][0] > 8 * plain[mvm][1]
        # With it, what is left is what the (larger) spread gives: 1 within the error of a mean square of >= 30 outputs.
        assert chopped[mvm][0] < 1.6 * chopped[mvm][1]
        assert chopped[mvm][1] > plain[mvm][1]


@pytest.mark.slow
def test_unsigned_inputs_are_driven_as_they_are():
    rng = np.random.default_rng(4)
    (x,) = integer_operands(rng, (6, 144), low=0, high=15)
    (w,) = integer_operands(rng, (144, 5))
    g = levels(rng, (6, 5))
    chip = ChipSpec(offset_std_lsb=2.0)
    plain, chopped = (
        run(dot_site(6, 144, 5, hardware(array=ArraySpec(chop=chop), chip=chip), lhs=UNSIGNED), x, w, g)
        for chop in (False, True)
    )
    np.testing.assert_array_equal(plain[0], chopped[0])
    assert not np.array_equal(plain[1], chopped[1])


@pytest.mark.slow
def test_chopping_keeps_integers_exact():
    rng = np.random.default_rng(5)
    x, w = integer_operands(rng, (2, 5, 5, 3), (3, 3, 3, 4))
    g = levels(rng, (2, 5, 5, 4))
    sites = [
        conv_site(x, w, hardware(array=ArraySpec(chop=chop), adc=WIDE), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
        for chop in (False, True)
    ]
    plain, chopped = (run(site, x, w, g) for site in sites)
    for a, b in zip(plain[:3], chopped[:3], strict=True):
        np.testing.assert_array_equal(integers(a), integers(b))


def test_calibrated_offsets_leave_what_the_mean_of_the_conversions_leaves():
    for count in (4, 64):
        hw = hardware(adc=AdcSpec(offset_conversions=count), chip=ChipSpec(sigma_array_lsb=0.6, offset_std_lsb=2.0))
        left = np.concatenate([macro_errors(m, hw)[1] - macro_corrections(m, hw) for m in range(16)])
        expected = np.sqrt((0.36 + 1 / 12) / count)
        # 4,096 columns: the standard deviation is known to 1.1 %.
        assert abs(left.std() / expected - 1) < 0.05
        assert macro_errors(0, hw)[1].std() > 5 * expected
    inl = ChipSpec(sigma_array_lsb=0.6, offset_std_lsb=0.5, inl_v=(-1.0, 0.0, 1.0), inl_lsb=(0.0, 3.0, 0.0))
    hw = hardware(adc=AdcSpec(offset_conversions=10**6), chip=inl)
    np.testing.assert_allclose(macro_corrections(1, hw) - macro_errors(1, hw)[1], 3.0, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_offset_calibration_takes_the_offsets_out(path):
    array = ArraySpec(replicate=True)
    plain = error_of_mean(hardware(array=array, chip=OFFSETS, path=path))
    adc = AdcSpec(offset_conversions=10**6)
    calibrated = error_of_mean(hardware(array=array, adc=adc, chip=OFFSETS, path=path))
    for before, after in zip(plain, calibrated, strict=True):
        assert after[0] < 1.6 * after[1]
        assert before[0] > 8 * after[0]


def test_mvms_that_are_not_on_the_array_are_digital():
    rng = np.random.default_rng(6)
    x, w = integer_operands(rng, (6, 144), (144, 5))
    g = levels(rng, (6, 5))
    chip = ChipSpec(sigma_array_lsb=2.0)
    site = dot_site(6, 144, 5, hardware(chip=chip, mvms=("weight_grad",)))
    assert site.paths == {"forward": "digital", "input_grad": "digital", "weight_grad": "exact"}
    out, dx, dw, cotangent = run(site, x, w, g)
    np.testing.assert_array_equal(integers(out), x @ w)
    np.testing.assert_array_equal(integers(dx), g @ w.T)
    assert np.abs(dw - x.T @ g).max() > 1000
    _, report = site.update(site.init_state(), cotangent)
    assert {key for key in report if key.startswith("snr")} == {"snr_db_weight_grad"}
    with pytest.raises(UserError, match="mvms"):
        hardware(mvms=("backward",))


@pytest.mark.parametrize(
    ("image", "kernel", "strides", "padding", "image_dilation", "kernel_dilation", "groups"),
    [
        ((8, 7), (3, 3), (2, 1), ((1, 0), (2, 1)), (1, 1), (1, 2), 1),
        ((9, 8), (3, 2), (2, 3), ((0, 1), (1, 1)), (2, 1), (1, 1), 1),
        ((8, 8), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 2),
        ((11,), (4,), (3,), ((0, 0),), (1,), (2,), 1),
    ],
)
def test_kernel_gradient_is_the_transpose_of_the_convolution(
    image, kernel, strides, padding, image_dilation, kernel_dilation, groups
):
    geometry = ConvGeometry(3, image, kernel, 4, 6, groups, strides, padding, image_dilation, kernel_dilation)
    rng = np.random.default_rng(7)
    x = jnp.asarray(rng.integers(-5, 6, (3, *image, 4)), jnp.float32)
    w = jnp.zeros((*kernel, 4 // groups, 6), jnp.float32)
    out, pullback = jax.vjp(lambda w: geometry.convolve(x, w), w)
    g = jnp.asarray(rng.integers(-5, 6, out.shape), jnp.float32)
    np.testing.assert_array_equal(geometry.kernel_gradient(x, g), pullback(g)[0])


@pytest.mark.slow
def test_a_gradient_clip_saturates_and_raises_the_snr_of_the_rest():
    rng = np.random.default_rng(8)
    x, w = integer_operands(rng, (64, 144), (144, 40))
    g = rng.standard_normal((64, 40)).astype(np.float32)
    g[0, 0] = 400.0
    snr = {}
    for clip in (None, 2.0):
        formats = FormatSpec(gradient_clip=clip)
        hw = hardware(array=ArraySpec(replicate=True), chip=ChipSpec(sigma_array_lsb=1.0), formats=formats)
        site = dot_site(64, 144, 40, hw)
        _, dx, _, cotangent = run(site, x, w, g)
        _, report = site.update(site.init_state(), cotangent)
        snr[clip] = float(report["snr_db_input_grad"])
        ideal = g @ w.T
        # The row of the outlier saturates; of the others, the clipped gradient keeps far more.
        error = np.sqrt(np.mean((dx[1:] - ideal[1:]) ** 2) / np.mean(ideal[1:] ** 2))
        assert error < 1.5 if clip else error > 10
    assert snr[2.0] > snr[None] + 3
