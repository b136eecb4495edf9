"""State and telemetry of a site: scales, learned clips, reference ranges, floor plan."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import ACTIVATION, IDENTITY, MATMUL, UNSIGNED, WEIGHT, dot_site, hardware, integer_operands, levels, run

from imctrain.errors import UserError
from imctrain.imc.chip.columns import column_errors, first_macro, macro_errors
from imctrain.imc.chip.ranges import choose_range
from imctrain.imc.mvm.contraction import DotSpec
from imctrain.imc.mvm.operand import OperandInfo
from imctrain.imc.site.site import make_site
from imctrain.imc.site.spec import SiteSpec
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, ColumnError, FormatSpec, Hardware

F32 = jnp.float32


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def test_two_phase_rounding_quantises_twice(rng):
    formats = IDENTITY.replace(gradient_rounding="two_phase")
    hw = Hardware(path="digital", formats=formats)
    x, w = integer_operands(rng, (4, 5), (5, 3))
    g = np.clip(levels(rng, (4, 3)) * 1.3, -4096, 4096).astype(np.float32)
    _, dx, dw, _ = run(dot_site(4, 5, 3, hw), x, w, g)

    def nearest(values, unit):
        m = np.abs(values) / unit
        k = np.floor(np.log2(np.maximum(1.6 * m, 1)) / 2)
        return np.sign(values) * np.where(1.6 * m < 1, 0, 4.0 ** np.minimum(k, 6)) * unit

    np.testing.assert_allclose(dx, nearest(g, 1.0) @ w.T, rtol=1e-5)
    np.testing.assert_allclose(dw, x.T @ nearest(g, 2.0), rtol=1e-5)


def test_stochastic_rounding_is_unbiased_through_the_site(rng):
    hw = hardware(
        path="digital", formats=FormatSpec(gradient_rounding="stochastic", weight_clip="max", activation_clip="max")
    )
    x, w = integer_operands(rng, (2, 3), (3, 2))
    g = jnp.asarray([[4096.0, 0.3], [700.0, -11.0]], F32)
    site = dot_site(2, 3, 2, hw)
    state = site.init_state()

    def gradients(key):
        return jax.vjp(lambda a, b: site.apply(a, b, state, key), jnp.asarray(x), jnp.asarray(w))[1](g)

    dx, dw = jax.jit(jax.vmap(gradients))(jax.random.split(jax.random.key(1), 20_000))
    for got, expected in ((dx, g @ w.T), (dw, x.T @ g)):
        error = np.abs(np.asarray(got, np.float64).mean(axis=0) - np.asarray(expected))
        assert np.all(error < 5 * np.asarray(got, np.float64).std(axis=0) / np.sqrt(20_000) + 1e-3)


def test_carried_gradient_scale_follows_the_largest_gradient(rng):
    formats = FormatSpec(gradient_scale="carried", gradient_scale_decay=0.5, gradient_rounding="nearest")
    site = dot_site(4, 5, 3, Hardware(path="digital", formats=formats))
    state = site.init_state()
    x, w, g = floats(rng, 4, 5), floats(rng, 5, 3), floats(rng, 4, 3)
    largest = np.abs(g).max()
    *_, telemetry = run(site, x, w, g, state)
    state, _ = site.update(state, telemetry)
    assert np.isclose(float(state.gradient_scale), largest / 4096)
    *_, telemetry = run(site, x, w, g * 10, state)
    grown, _ = site.update(state, telemetry)
    assert np.isclose(float(grown.gradient_scale), 10 * largest / 4096)
    *_, telemetry = run(site, x, w, g * 0.01, state)
    shrunk, _ = site.update(state, telemetry)
    assert np.isclose(float(shrunk.gradient_scale), 0.5 * largest / 4096)


def test_pact_learns_its_clip_from_the_gradient(rng):
    """d loss / d alpha is the sum of the gradients of the clipped elements; weights have no clip of their own."""
    formats = FormatSpec(activation_clip="pact", pact_learning_rate=0.1, pact_decay=0.0, gradient_rounding="nearest")
    site = dot_site(8, 16, 3, Hardware(path="digital", formats=formats), lhs=UNSIGNED)
    state = site.init_state()
    x, w, g = np.abs(floats(rng, 8, 16)), floats(rng, 16, 3), floats(rng, 8, 3) * 1e-2
    *_, telemetry = run(site, x, w, g, state)
    state, _ = site.update(state, telemetry)
    alpha = float(state.clips[0])
    assert 0 < alpha <= x.max()
    state = dataclasses.replace(state, clips=jnp.asarray([0.5 * x.max(), 0.0], F32))
    _, dx, _, telemetry = run(site, x, w, g, state)
    clipped = x > 0.5 * x.max()
    assert clipped.any()
    assert np.all(dx[clipped] == 0)
    after, _ = site.update(state, telemetry)
    slope = float(telemetry.clips[0])
    assert slope != 0
    assert np.sign(float(after.clips[0]) - 0.5 * x.max()) == -np.sign(slope)
    # The gradient of the input does not depend on its clip but for the mask: without one it gives the slope.
    state = dataclasses.replace(state, clips=jnp.asarray([2.0 * x.max(), 0.0], F32))
    _, unmasked, _, _ = run(site, x, w, g, state)
    assert np.isclose(slope, unmasked[clipped].sum(), rtol=1e-4)


def test_ranges_follow_the_signals_and_stay_powers_of_two(rng):
    adc = AdcSpec(range_policy="per_site")
    site = dot_site(16, 64, 8, hardware(adc=adc))
    x, w = integer_operands(rng, (16, 64), (64, 8))
    g = levels(rng, (16, 8))
    state = site.init_state()
    for _ in range(3):
        *_, telemetry = run(site, x, w, g, state)
        state, report = site.update(state, telemetry)
    reference = np.asarray(choose_range(state.needed_range["forward"], adc))
    assert 0 < reference[0] < 1
    assert np.log2(reference[0]) == np.round(np.log2(reference[0]))
    # Full scale counts 1152 rows and 64 are used: the range must have shrunk a lot, and clip almost nothing.
    assert reference[0] <= 0.0625
    assert float(report["clipped_forward"]) < 2e-3


@pytest.mark.slow
def test_a_range_too_wide_to_see_anything_shrinks(rng):
    """At R = 1 a weak signal gives only codes of zero: that too is a reason to shrink."""
    adc = AdcSpec(range_policy="per_site")
    site = dot_site(4, 4, 2, hardware(adc=adc))
    x, w = integer_operands(rng, (4, 4), (4, 2))
    state = site.init_state()
    *_, telemetry = run(site, x, w, levels(rng, (4, 2)), state)
    assert float(telemetry.telemetry.mvms["forward"].v_power[0]) == 0
    state, _ = site.update(state, telemetry)
    assert float(choose_range(state.needed_range["forward"], adc)[0]) == adc.min_range


@pytest.mark.slow
def test_a_range_that_clips_grows_again(rng):
    adc = AdcSpec(range_policy="per_site", min_range=2.0**-10)
    site = dot_site(16, 64, 8, hardware(adc=adc))
    x, w = integer_operands(rng, (16, 64), (64, 8))
    g = levels(rng, (16, 8))
    state = site.init_state()
    narrow = jax.tree.map(lambda n: jnp.full_like(n, 0.001), state.needed_range)
    state = dataclasses.replace(state, needed_range=narrow)
    before = float(choose_range(state.needed_range["forward"], adc)[0])
    *_, telemetry = run(site, x, w, g, state)
    state, report = site.update(state, telemetry)
    assert float(report["clipped_forward"]) > 1e-3
    assert float(choose_range(state.needed_range["forward"], adc)[0]) > before


def test_two_level_ranges_use_two_levels():
    adc = AdcSpec(range_policy="two_level", low_range=0.125)
    needed = jnp.asarray([0.0, 0.1, 0.125, 0.13, 2.0], F32)
    assert choose_range(needed, adc).tolist() == [1.0, 0.125, 0.125, 1.0, 1.0]


def test_floor_plan_is_decided_once():
    hw = Hardware(array=ArraySpec(columns=8, macros=4), chip=ChipSpec(gain_std=0.1, offset_std_lsb=1.0), chip_seed=7)
    gain, offset, correction = column_errors(2, "input_grad", 3, 20, hw)
    assert not correction.any()
    again = column_errors(2, "input_grad", 3, 20, hw)
    assert np.array_equal(gain, again[0])
    assert np.array_equal(offset, again[1])
    assert gain.shape == (3, 20)
    # 20 columns take three macros of 8; tile 0 begins at macro 3*2+1 = 7, wrapping around four macros.
    expected = np.concatenate([macro_errors((first_macro(2, "input_grad") + b) % 4, hw)[0] for b in range(3)])[:20]
    np.testing.assert_array_equal(gain[0], expected.astype(np.float32))
    other = column_errors(2, "input_grad", 3, 20, hw.replace(chip_seed=8))
    assert not np.array_equal(gain, other[0])


def test_measured_columns_are_used_where_they_are():
    measured = (ColumnError(0, 1.5, 2.0), ColumnError(3, 0.5, -1.0))
    hw = Hardware(array=ArraySpec(columns=6), chip=ChipSpec(columns=measured, gain_std=0.01))
    gain, offset = macro_errors(0, hw)
    assert gain[0] == 1.5
    assert gain[3] == 0.5
    assert offset[3] == -1.0
    assert 0.9 < gain[1] < 1.1
    assert column_errors(0, "forward", 1, 6, Hardware()) is None


@pytest.mark.slow
def test_a_weight_on_the_left_is_stored_all_the_same(rng):
    w, x = integer_operands(rng, (5, 12), (12, 4))
    spec = SiteSpec("left", 0, MATMUL, w.shape, x.shape, F32, WEIGHT, ACTIVATION, hardware(adc=AdcSpec(bits=18)))
    site = make_site(spec)
    assert spec.driven == "rhs"
    assert [(m.vectors, m.contraction, m.outputs) for m in site.mvms] == [(4, 12, 5), (4, 5, 12), (5, 4, 12)]
    g = levels(rng, (5, 4))
    y, dw, dx, _ = run(site, w, x, g)
    np.testing.assert_allclose(y, w @ x, rtol=1e-6)
    np.testing.assert_allclose(dw, g @ x.T, rtol=1e-6)
    np.testing.assert_allclose(dx, w.T @ g, rtol=1e-6)


@pytest.mark.slow
def test_batched_matmul_writes_each_batch_to_the_same_columns(rng):
    op = DotSpec((((3,), (3,)), ((0, 1), (0, 1))))
    q, k = integer_operands(rng, (2, 3, 5, 8), (2, 3, 6, 8))
    site = make_site(
        SiteSpec("qk", 0, op, q.shape, k.shape, F32, ACTIVATION, ACTIVATION, hardware(adc=AdcSpec(bits=18)))
    )
    assert site.mvms[0].groups == 6
    assert site.mvms[0].columns == 4 * 6
    g = levels(rng, (2, 3, 5, 6))
    y, dq, dk, _ = run(site, q, k, g)
    np.testing.assert_allclose(y, np.einsum("bhqd,bhkd->bhqk", q, k), rtol=1e-6)
    np.testing.assert_allclose(dq, np.einsum("bhqk,bhkd->bhqd", g, k), rtol=1e-6)
    np.testing.assert_allclose(dk, np.einsum("bhqk,bhqd->bhkd", g, q), rtol=1e-6)


def test_gradients_of_gradients_are_refused():
    gradient = OperandInfo("gradient")
    with pytest.raises(UserError, match="site both: both operands are gradients"):
        make_site(SiteSpec("both", 0, MATMUL, (3, 4), (4, 5), F32, gradient, gradient, Hardware()))


def test_gradient_mvm_of_a_custom_rule_is_driven_in_radix_4(rng):
    g = levels(rng, (5, 4))
    (x,) = integer_operands(rng, (4, 6))
    spec = SiteSpec(
        "rule", 0, MATMUL, g.shape, x.shape, F32, OperandInfo("gradient"), ACTIVATION, hardware(adc=AdcSpec(bits=18))
    )
    site = make_site(spec)
    assert site.mvms[0].passes == 3
    out = jax.jit(lambda g, x: site.apply(g, x, site.init_state(), jax.random.key(0)))(g, x)
    np.testing.assert_allclose(np.asarray(out), g @ x, rtol=1e-6)
    with pytest.raises(UserError, match=r"site rule: a product with a gradient, .* cannot be differentiated"):
        jax.grad(lambda g: site.apply(g, x, site.init_state(), jax.random.key(0)).sum())(jnp.asarray(g))


def test_unneeded_gradient_mvms_are_not_planned():
    data = OperandInfo("activation", differentiated=False)
    site = make_site(SiteSpec("stem", 0, MATMUL, (3, 4), (4, 5), F32, data, WEIGHT, Hardware()))
    assert [plan.name for plan in site.mvms] == ["forward", "weight_grad"]
