"""INL deviation of single columns: a smooth curve of its own for each, in both paths, without gain and offset.

What is expected is computed here, with numpy's Legendre series and from the draws of the columns, not by the package.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import array_matmul, even_tiles
from imc_sites import dot_site, hardware, integer_operands, levels, product, products
from numpy.polynomial import legendre
from real_chips import chip, exactly
from scipy import stats
from tiers import slow

import imctrain
from imctrain.calibration.schema import Estimate, Inl
from imctrain.calibration.variation import die_figures
from imctrain.calibration.virtual_chip import VirtualChip
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.columns import macro_corrections, macro_curves, macro_errors
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.chip.spares import columns_in_use
from imctrain.imc.engines.kernels import statistical
from imctrain.imc.engines.validity import curve_residual_lsb, validity
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, Hardware, ImcConfig, NoiseSpec

M, K, N = 4, 150, 5
BETA = np.array([1.0, 2.0, 4.0, -8.0])
RMS = 0.06
NORMS = np.sqrt([5.0, 7.0, 9.0])


def curved(rms=RMS, polarity="bipolar", reference=1 / 8, **changes):
    """Hardware with one macro of J N columns; fixed range, noise of 0.8 LSB of it."""
    figures = ChipSpec(sigma_adc_lsb=0.8, inl_column_rms_lsb=rms, reference_polarity=polarity)
    array = ArraySpec(rows=64, columns=4 * N, macros=1)
    settings = {"chip": figures, "array": array, "adc": AdcSpec(range=reference, range_policy="fixed")}
    settings["adc"] = settings["adc"].replace(polarity="bipolar")
    return hardware(**(settings | changes))


def own(hw, unipolar_reference=False):
    """(j, n, v) -> what the INL of column j N + n is off that of all, a fraction of full scale."""
    coefficients = macro_curves(0, hw).reshape(-1, N, 3) * hw.chip.reference_lsb

    def at(j, n, v):
        u = np.clip(2 * v - 1, -1, 1) if unipolar_reference else v
        return legendre.legval(u, [0, 0, *(coefficients[j, n] * NORMS)])

    return at


def columns_of(at):
    return lambda t, j, v: np.stack([at(j, n, v[:, n]) for n in range(N)], axis=1)


@pytest.mark.parametrize(
    ("polarity", "mismatch"),
    [("bipolar", True), slow("bipolar", False), slow("unipolar", True), slow("unipolar", False)],
)
def test_conversions_are_those_of_the_reference(polarity, mismatch, rng):
    """All codes at R = 1, curves of 3 LSB, with and without gain, offset and the INL of all."""
    x, w = integer_operands(rng, (M, K), (K, N))
    figures = ChipSpec(inl_column_rms_lsb=3.0, reference_polarity=polarity)
    extra = {}
    if mismatch:
        low = -1.0 if polarity == "bipolar" else 0.0
        figures = figures.replace(gain_std=0.05, offset_std_lsb=1.0, inl_v=(low, 0.5, 1.0), inl_lsb=(0.5, -1.0, 2.0))
    adc = AdcSpec(bits=11, polarity="bipolar", range_policy="fixed")
    hw = curved(chip=figures, adc=adc)
    lsb, tiles = hw.chip.reference_lsb, even_tiles(K, 64)
    if mismatch:
        gain, offset = (np.broadcast_to(part.reshape(4, N), (len(tiles), 4, N)) for part in macro_errors(0, hw))
        extra = {"gain": gain, "offset": offset * lsb}
        extra["inl"] = lambda v: np.interp(v, figures.inl_v, np.array(figures.inl_lsb) * lsb)
    y = product(dot_site(M, K, N, hw), x, w)
    at = columns_of(own(hw, polarity == "unipolar"))
    expected, _ = array_matmul(x, w, tiles=tiles, rows=64, bits=11, own=at, **extra)
    # float32 may fall on the other side of a rounding tie: one code of the heaviest plane, on few outputs.
    assert np.max(np.abs(y - expected)) <= 1.01 * 8 * 2 / 2**11 * 64 * 16
    assert np.mean(np.abs(y - expected) > 1e-3) < 0.1
    plain, _ = array_matmul(x, w, tiles=tiles, rows=64, bits=11, **extra)
    assert np.mean(np.abs(y - plain) > 1e-3) > 0.9


def test_curves_have_the_rms_and_neither_gain_nor_offset():
    hw = Hardware(chip=ChipSpec(inl_column_rms_lsb=0.4), array=ArraySpec(columns=500))
    drawn = np.concatenate([macro_curves(macro, hw) for macro in range(8)])
    v = np.linspace(-1, 1, 401)
    curves = legendre.legval(v, np.vstack([np.zeros((2, len(drawn))), drawn.T * NORMS[:, None]]))
    squares = np.mean(curves**2, axis=1)
    # A mean of three squared Gaussians: relative standard deviation sqrt(2/3).
    assert squares.mean() == pytest.approx(0.16, rel=5 * np.sqrt(2 / 3 / len(drawn)) + 1e-2)
    lines = np.polyfit(v, curves.T, 1)
    assert np.abs(lines).max() < 2e-2
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(drawn[:, a], drawn[:, b])[0, 1]) < 5 / np.sqrt(len(drawn))
    again = macro_curves(3, hw.replace(chip_seed=1))
    assert abs(np.corrcoef(macro_curves(3, hw).ravel(), again.ravel())[0, 1]) < 5 / np.sqrt(1500)


def draws(site, operands, g, key, count):
    state = site.init_state()

    def one(key):
        out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), *operands)
        return out, *pullback(g)

    keys = jax.random.split(jax.random.key(key), count)
    samples = jax.jit(lambda k: jax.lax.map(one, k, batch_size=50))(keys)
    return [np.asarray(s, np.float64) for s in samples]


def voltages(x, w):
    """v of every tile, plane, vector and output, [T, J, M, N]."""
    cells = (w.astype(int)[:, None, :] >> np.arange(4)[:, None]) & 1
    return np.stack([np.einsum("mk,kjn->jmn", x[:, t], cells[t]) for t in even_tiles(K, 64)]) / (64 * 16)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_the_mean_of_an_output_is_that_of_its_columns_curves(path, rng):
    """sum over t, j of beta FS curve_jn(v); on the statistical path of the line that is nearest over the range."""
    count = 1500
    x, w = integer_operands(rng, (M, K), (K, N))
    hw = curved(path=path)
    site = dot_site(M, K, N, hw)
    assert set(site.paths.values()) == {path}
    y = products(site, jnp.asarray(x), jnp.asarray(w), 1, count)
    v, at = voltages(x, w), own(hw)
    bend = np.empty_like(v)
    for j in range(4):
        for n in range(N):
            if path == "exact":
                bend[:, j, :, n] = at(j, n, v[:, j, :, n])
            else:
                grid = np.linspace(-1 / 8, 1 / 8, 4001)
                bend[:, j, :, n] = np.polyval(np.polyfit(grid, at(j, n, grid), 1), v[:, j, :, n])
    shift = 64 * 16 * np.einsum("j,tjmn->mn", BETA, bend)
    lsb = 2 / 256 / 8
    variance = len(v) * 85 * (64 * 16 * lsb) ** 2 * (0.64 + 1 / 12)
    np.testing.assert_allclose(y.mean(axis=0), x @ w + shift, atol=5.5 * np.sqrt(variance / count))
    # The curves are what is seen: without them the mean would be far off.
    assert np.abs(shift).max() > 4 * 5.5 * np.sqrt(variance / count)
    assert y.var(axis=0).mean() / variance == pytest.approx(1, abs=5 * np.sqrt(2 / (count * M * N)) + 2e-3)


@pytest.mark.slow
def test_both_paths_have_one_distribution(rng):
    """Forward, input_grad and weight_grad: means within what curves are off their lines, a KS test of all errors."""
    count = 1000
    x, w = integer_operands(rng, (M, K), (K, N))
    g = levels(rng, (M, N)) * (rng.random((M, N)) < 0.5)
    g.flat[0] = 4096.0
    sites = [dot_site(M, K, N, curved(0.03, path=path)) for path in ("exact", "statistical")]
    operands = jnp.asarray(x), jnp.asarray(w)
    both = (draws(s, operands, jnp.asarray(g), 2 + i, count) for i, s in enumerate(sites))
    for exact, drawn in zip(*both, strict=True):
        std = drawn.std(axis=0).mean()
        assert abs(exact.var(axis=0).mean() / drawn.var(axis=0).mean() - 1) < 5 * np.sqrt(4 / exact.size) + 0.01
        near = 0.3 * std  # the bound of each conversion is 0.13 LSB, over 16 LSB in all: what is left is far below
        assert np.abs(exact.mean(axis=0) - drawn.mean(axis=0)).max() < 7.5 * std / np.sqrt(count) + near
        pick = rng.permutation(exact.size)[:4000]
        a, b = (((s - drawn.mean(axis=0)) / std).ravel()[pick] for s in (exact, drawn))
        smear = rng.uniform(-0.5, 0.5, (2, len(pick))) * 0.5
        assert stats.ks_2samp(a + smear[0], b + smear[1]).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("unipolar", [False, True])
def test_lines_at_ranges_that_differ_from_pass_to_pass(unipolar, rng):
    """Noise off: X W_eff + bias with one slope and a height of each pass, by least squares written out here."""
    adc = AdcSpec(range_policy="fixed", polarity="unipolar" if unipolar else "bipolar")
    hw = curved(1.0, adc=adc, chip=ChipSpec(inl_column_rms_lsb=1.0, gain_std=0.03, offset_std_lsb=0.2))
    plan = dot_site(M, K, N, hw).mvms[1]
    plan = plan.on(chip_of(hw))
    ranges, c = np.array([0.5, 0.25, 0.125]), np.array(plan.mapping.coefficients)
    g, w = levels(rng, (M, N)), integer_operands(rng, (K, N))[0]
    reference, seed = jnp.asarray(ranges, jnp.float32), jnp.zeros(2, jnp.uint32)
    found = np.asarray(statistical.matmul(jnp.asarray(g)[None], jnp.asarray(w)[None], plan, reference, seed).product)[0]
    noise = np.asarray(plan.output_noise_power(reference)) ** 0.5
    coefficients = macro_curves(0, hw) * hw.chip.reference_lsb
    gain, offset = macro_errors(0, hw)
    place = np.linspace(0.0 if unipolar else -1.0, 1.0, 4001)
    weight = (c * ranges) ** 2 / np.sum((c * ranges) ** 2)
    expected = np.zeros((M, K))
    cells = (w.astype(int)[..., None] >> np.arange(4)) & 1  # [K, N, J]
    for column in range(4 * K):
        j, k = divmod(column, K)
        at = column % (4 * N)
        bent = [legendre.legval(r * place, [0, 0, *(coefficients[at] * NORMS)]) for r in ranges]
        slope = sum(s * np.polyfit(r * place, y, 1)[0] for s, r, y in zip(weight, ranges, bent, strict=True))
        heights = [np.mean(y - slope * r * place) for r, y in zip(ranges, bent, strict=True)]
        expected[:, k] += BETA[j] * gain[at] * (1 + slope) * (g @ cells[k, :, j])
        fixed = c.sum() * offset[at] * hw.chip.reference_lsb + gain[at] * np.dot(c, heights)
        expected[:, k] += 64 * 16 * BETA[j] * fixed
    # One draw of the rounding's noise, and the grid on which lines are fitted.
    error = found - expected
    assert np.sqrt(np.mean(error**2)) == pytest.approx(noise, rel=0.3)
    assert np.abs(error.mean()) < 5 * noise / np.sqrt(error.size)
    assert np.abs(expected - g @ w.T).max() > 20 * noise


def test_the_range_decides():
    """0.15 LSB rms of 20 columns: within a quarter of an LSB of their lines at 1/8, not at 1/2."""
    answers = {r: validity(dot_site(M, K, N, curved(0.15, reference=r)).mvms[0]) for r in (0.5, 1 / 8)}
    assert answers[1 / 8] == ("always", "")
    assert answers[0.5][0] == "never"
    assert "the INL of a single column is" in answers[0.5][1]
    with pytest.raises(
        UserError, match=r"single column is .* LSB of the range from a straight line, the limit is 0\.25"
    ):
        dot_site(M, K, N, curved(0.15, reference=0.5, path="statistical"))


@pytest.mark.parametrize(("reference", "rms"), [(1.0, 0.024), (0.5, 0.04), (0.25, 0.06), (1 / 8, 0.12)])
def test_how_far_statistics_hold(reference, rms):
    """What docs/simulation.md says of 4,096 columns: at that rms the worst is 0.2 to 0.25 LSB off its line."""
    hw = curved(rms, reference=reference, array=ArraySpec(rows=1152, columns=256, macros=16))
    plan = dot_site(8, 64, 1024, hw).mvms[0]
    assert plan.columns == 4096
    found = curve_residual_lsb(plan, np.full(1, reference, np.float32))
    assert 0.2 < float(found[0]) <= 0.25


@pytest.mark.slow
def test_a_given_chips_curves_decide_in_the_call():
    w, x = jax.random.normal(jax.random.key(0), (64, N)), jax.random.normal(jax.random.key(1), (8, 64))
    flat, bent = (curved(rms, path="auto", adc=AdcSpec(range=1 / 8, range_policy="fixed")) for rms in (0.03, 2.0))
    f = imctrain.on_imc(lambda w, x: x @ w, flat)
    key, shares = jax.random.key(2), []
    for given in (flat, bent):
        parts = f.chip(w, x, hardware=given)
        grad = jax.grad(lambda s, parts=parts: jnp.sum(f(w, x, key=key, state=s, chip=parts)))(f.init(w, x))
        shares.append(float(f.update(f.init(w, x), grad)[1]["dot"]["statistical_forward"]))
    assert shares == [1.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "auto"])
def test_chips_in_one_vmap_and_their_gradients(path):
    """Another rms or die is another argument of one program; gradients flow through it."""
    w, x = jax.random.normal(jax.random.key(0), (64, N)), jax.random.normal(jax.random.key(1), (8, 64))
    key, base = jax.random.key(5), curved(path=path)
    f = imctrain.on_imc(lambda w, x: x @ w, base)
    hardwares = [base, base.replace(chip_seed=4), base.replace(chip=base.chip.replace(inl_column_rms_lsb=0.6))]
    chips = [f.chip(w, x, hardware=hw) for hw in hardwares]

    def step(chip):
        return jax.value_and_grad(lambda w: jnp.sum(jnp.tanh(f(w, x, key=key, chip=chip))))(w)

    single = jax.jit(step)
    each = [single(chip) for chip in chips]
    assert single._cache_size() == 1
    # Backward passes of a vmap have noise of their own: values are compared, of gradients that there are any.
    values, gradients = jax.jit(jax.vmap(step))(jax.tree.map(lambda *parts: jnp.stack(parts), *chips))
    np.testing.assert_allclose(values, [value for value, _ in each], rtol=1e-4)
    for gradient in (*gradients, *(gradient for _, gradient in each)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
    assert len({float(value) for value, _ in each}) == 3
    assert all(float(jnp.abs(gradient).max()) > 0 for _, gradient in each)


def test_a_chip_without_curves_has_no_part_for_them():
    assert chip_of(curved(0.0)).curves is None
    assert chip_of(curved(noise=NoiseSpec(mismatch=False))).curves is None
    assert chip_of(curved()).curves.shape == (3, 1, 4 * N)


def told(value, low, high):
    return chip(inl=Inl(column_rms_lsb=Estimate(value=value, low=low, high=high)))


@pytest.mark.parametrize("die", [None, 3])
def test_the_virtual_chip_draws_the_same(die):
    c = told(0.2, 0.15, 0.25)
    hw = build_hardware(ImcConfig.model_validate({"chip_seed": 4, "chip": {"die": die}}), c)
    assert hw.chip.inl_column_rms_lsb == 0.2
    np.testing.assert_allclose(macro_curves(0, hw), VirtualChip(c, 4).curves_of(die or 0))
    of_a = die_figures(c, "A").population.inl_rms_lsb
    assert of_a == die_figures(c, 7).population.inl_rms_lsb == 0.2


def test_what_an_interval_that_holds_0_tells_is_not_simulated():
    assert not build_hardware(ImcConfig(), told(0.02, 0.0, 0.05)).has_curves
    assert build_hardware(ImcConfig(), told(0.02, 0.01, 0.05)).has_curves
    assert not build_hardware(ImcConfig(), chip(inl=Inl(column_rms_lsb=exactly(0.0)))).has_curves


def test_readings_at_zero_learn_the_curve_there():
    """Left over of 10^6 readings at a small range: nothing of offset and curve."""
    hw = curved(1.0, adc=AdcSpec(offset_conversions=10**6, offset_range=1 / 8), chip=ChipSpec(
        sigma_array_lsb=0.5, inl_column_rms_lsb=1.0, offset_std_lsb=0.5, gain_std=0.1))  # fmt: skip
    gain, offset = macro_errors(0, hw)
    height = own(hw)
    at_zero = np.array([height(j, n, 0.0) for j in range(4) for n in range(N)]) / hw.chip.reference_lsb
    np.testing.assert_allclose(macro_corrections(0, hw), offset + gain * at_zero, atol=6 * 0.51 / 1000)
    assert np.abs(at_zero).max() > 0.5


def test_columns_in_use_have_their_curves():
    """A spare column that takes a dead one's place brings its own."""
    figures = ChipSpec(inl_column_rms_lsb=0.5, dead_share=0.1, dead_offsets_lsb=(1.0,), column_draw=3)
    hw = Hardware(chip=figures, array=ArraySpec(columns=64, spare_columns=8, macros=2))
    found = np.asarray(chip_of(hw).curves) / hw.chip.reference_lsb
    for macro in range(2):
        where = columns_in_use(macro, hw)
        np.testing.assert_allclose(found[:, macro], macro_curves(macro, hw)[where].T, rtol=1e-6)
        assert not np.array_equal(where, np.arange(56))
