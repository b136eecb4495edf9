"""Noise of single columns: each has its own, in both paths; the quietest decides whether statistics may stand in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import array_matmul, even_tiles
from imc_sites import conv_site, dot_site, hardware, integer_operands, levels, run
from real_chips import COLUMNS, chip
from scipy import stats

import imctrain
from imctrain.calibration.schema import Column
from imctrain.calibration.variation import FEWEST_COLUMNS, die_figures
from imctrain.calibration.virtual_chip import VirtualChip
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.columns import column_noise, macro_corrections, macro_errors, macro_noise
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.engines.validity import validity
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, ColumnError, Hardware, ImcConfig, NoiseSpec

M, K, N = 4, 150, 5
BETA = np.array([1.0, 2.0, 4.0, -8.0])
DRAWS = 1500
RELATIVE = np.exp(np.linspace(-0.3, 0.6, 4 * N))


def columns(macro_columns=4 * N, **changes):
    """Hardware whose one macro has every column listed: sigma 0.8 LSB times RELATIVE, 0.6 before and 0.53 after R."""
    listed = tuple(ColumnError(k, 1.0, 0.0, float(RELATIVE[k])) for k in range(len(RELATIVE)))
    figures = ChipSpec(sigma_array_lsb=0.6, sigma_adc_lsb=0.53, columns=listed)
    array = ArraySpec(rows=64, columns=macro_columns, macros=1)
    settings = {"chip": figures, "array": array, "adc": AdcSpec(range=0.5, polarity="bipolar", range_policy="fixed")}
    return hardware(**(settings | changes))


def draws(site, operands, g, key):
    state = site.init_state()

    def one(key):
        out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), *operands)
        return out, *pullback(g)

    keys = jax.random.split(jax.random.key(key), DRAWS)
    samples = jax.jit(lambda k: jax.lax.map(one, k, batch_size=50))(keys)
    return [np.asarray(s, np.float64) for s in samples]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_the_variance_of_an_output_is_that_of_its_columns(path):
    """sum over tiles and planes of (beta FS lsb)^2 (r^2 sigma^2 + 1/12): a sample variance is known to 3.7 %."""
    rng = np.random.default_rng(0)
    x, w = integer_operands(rng, (M, K), (K, N))
    site = dot_site(M, K, N, columns(path=path))
    assert set(site.paths.values()) == {path}
    y, dx, _ = draws(site, (jnp.asarray(x), jnp.asarray(w)), jnp.asarray(levels(rng, (M, N))), 1)
    lsb, tiles = 0.5 * 2 / 256, len(even_tiles(K, 64))
    square = (0.6 / 0.5) ** 2 + 0.53**2
    r = RELATIVE.reshape(4, N)
    expected = tiles * (64 * 16 * lsb) ** 2 * np.sum(BETA[:, None] ** 2 * (r**2 * square + 1 / 12), axis=0)
    found = y.var(axis=0).mean(axis=0)
    # 1,500 draws of 4 vectors; the heaviest plane takes whole LSBs, which strays by the dither's first harmonic.
    np.testing.assert_allclose(found / expected, 1.0, atol=5 * np.sqrt(2 / (DRAWS * M)) + 0.02)
    assert expected.max() / expected.min() > 1.3
    np.testing.assert_allclose(y.mean(axis=0), x @ w, atol=5.5 * np.sqrt(expected.max() / DRAWS))
    assert dx.var(axis=0).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1, 2])
def test_both_paths_have_one_distribution(index):
    """Forward, input_grad and weight_grad."""
    rng = np.random.default_rng(1)
    x, w = integer_operands(rng, (M, K), (K, N))
    g = jnp.asarray(levels(rng, (M, N)))
    exact, statistical = (
        draws(dot_site(M, K, N, columns(path=path)), (jnp.asarray(x), jnp.asarray(w)), g, key)[index]
        for key, path in ((2, "exact"), (3, "statistical"))
    )
    std = statistical.std(axis=0)
    np.testing.assert_allclose(exact.mean(axis=0), statistical.mean(axis=0), atol=7.5 * std.max() / np.sqrt(DRAWS))
    ratio = exact.var(axis=0) / statistical.var(axis=0)
    assert np.abs(ratio - 1).max() < 6.5 * np.sqrt(4 / DRAWS) + 0.02
    pick = rng.permutation(exact.size)[:4000]
    a, b = (((s - statistical.mean(axis=0)) / std).ravel()[pick] for s in (exact, statistical))
    # One output takes few values on the exact path: smeared by the weight of its heaviest conversion.
    smear = rng.uniform(-0.5, 0.5, (2, len(pick))) * 0.5
    assert stats.ks_2samp(a + smear[0], b + smear[1]).pvalue > 1e-4


@pytest.mark.slow
def test_the_exact_path_has_the_distribution_of_the_reference():
    rng = np.random.default_rng(2)
    x, w = integer_operands(rng, (M, K), (K, N))
    site = dot_site(M, K, N, columns())
    y = draws(site, (jnp.asarray(x), jnp.asarray(w)), jnp.asarray(levels(rng, (M, N))), 4)[0]
    tiles = even_tiles(K, 64)
    sigma = np.broadcast_to(RELATIVE.reshape(1, 4, N) * np.hypot(0.6 / 0.5, 0.53), (len(tiles), 4, N))
    common = {"tiles": tiles, "rows": 64, "ranges": [0.5], "sigma": sigma, "rng": rng}
    reference = np.stack([array_matmul(x, w, **common)[0] for _ in range(600)])
    for n in range(N):
        assert stats.ks_2samp(y[:, 0, n], reference[:, 0, n]).pvalue > 1e-4
        assert y[:, :, n].var() / reference[:, :, n].var() == pytest.approx(1, abs=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_a_convolutions_channels_have_their_columns(path):
    rng = np.random.default_rng(3)
    x, w = integer_operands(rng, (2, 5, 5, 3), (3, 3, 3, N))
    site = conv_site(x, w, columns(path=path), (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
    g = jnp.asarray(levels(rng, (2, 5, 5, N)))
    y, _, dw = draws(site, (jnp.asarray(x), jnp.asarray(w)), g, 5)
    lsb, square = 0.5 * 2 / 256, (0.6 / 0.5) ** 2 + 0.53**2
    r = RELATIVE.reshape(4, N)
    expected = (64 * 16 * lsb) ** 2 * np.sum(BETA[:, None] ** 2 * (r**2 * square + 1 / 12), axis=0)
    np.testing.assert_allclose(y.var(axis=0).mean(axis=(0, 1, 2)) / expected, 1.0, atol=0.03)
    # Of the kernel gradient columns are channels and taps.
    plan = site.mvms[2]
    powers = np.asarray(plan.output_noise_powers(jnp.full(3, 0.5, jnp.float32))).reshape(3, 3, 3)
    np.testing.assert_allclose(dw.var(axis=0).mean(axis=-1) / powers, 1.0, atol=5 * np.sqrt(2 / (DRAWS * N)) + 0.02)


def test_the_quietest_column_decides():
    quiet = tuple(ColumnError(k, 1.0, 0.0, 0.5 if k == 7 else 1.0) for k in range(4 * N))
    loud = tuple(ColumnError(k, 1.0, 0.0, 1.5 if k == 7 else 1.0) for k in range(4 * N))
    for listed, answer in ((quiet, "never"), (loud, "always")):
        figures = ChipSpec(sigma_array_lsb=0.8, columns=listed)
        adc = AdcSpec(range_policy="fixed")
        site = dot_site(M, K, N, columns(chip=figures, adc=adc))
        assert validity(site.mvms[0])[0] == answer
    with pytest.raises(UserError, match=r"noise of 0\.40 LSB before rounding"):
        dot_site(M, K, N, columns(chip=ChipSpec(sigma_array_lsb=0.8, columns=quiet), adc=adc, path="statistical"))


@pytest.mark.slow
def test_a_given_chips_quietest_column_decides_in_the_call():
    w, x = jax.random.normal(jax.random.key(0), (64, N)), jax.random.normal(jax.random.key(1), (8, 64))
    loud, quiet = (
        Hardware(
            path="auto", adc=AdcSpec(range_policy="fixed"), array=ArraySpec(macros=1, columns=64),
            chip=ChipSpec(sigma_array_lsb=0.8, columns=(ColumnError(2, 1.0, 0.0, noise),)),
        )
        for noise in (1.2, 0.4)
    )  # fmt: skip
    f = imctrain.on_imc(lambda w, x: x @ w, loud)
    key, shares = jax.random.key(2), []
    for given in (loud, quiet):
        parts = f.chip(w, x, hardware=given)
        grad = jax.grad(lambda s, parts=parts: jnp.sum(f(w, x, key=key, state=s, chip=parts)))(f.init(w, x))
        shares.append(float(f.update(f.init(w, x), grad)[1]["dot"]["statistical_forward"]))
    assert shares == [1.0, 0.0]


def test_columns_alike_have_no_part_of_the_chip():
    assert chip_of(Hardware(chip=ChipSpec(sigma_array_lsb=0.5, gain_std=0.1))).noise is None
    assert chip_of(columns(noise=NoiseSpec(mismatch=False))).noise is None
    assert chip_of(columns(noise=NoiseSpec(scale=0.0))).noise is None
    assert chip_of(columns()).noise.shape == (1, 4 * N)


def test_measured_and_drawn_columns():
    """Listed columns have their sigma; others are log-normal with the listed ones' median and spread."""
    c = chip()
    hw = build_hardware(ImcConfig(chip_seed=2), c)
    listed = np.array([x.sigma_lsb for x in c.columns])
    np.testing.assert_allclose(macro_noise(0, hw) * hw.total_lsb, listed)
    drawn = np.log(np.concatenate([macro_noise(m, hw) for m in range(1, 16)]) * hw.total_lsb)
    assert drawn.mean() == pytest.approx(np.log(listed).mean(), abs=4 * 0.3 / np.sqrt(drawn.size))
    assert drawn.std() == pytest.approx(np.log(listed).std(ddof=1), rel=4 / np.sqrt(2 * drawn.size))
    found = column_noise(0, "input_grad", 2, 40, hw)
    np.testing.assert_allclose(found[1], np.concatenate([macro_noise(3, hw), macro_noise(4, hw)])[:40], rtol=1e-6)
    # Of the die by name they are the same columns; a die by number has others, around its own sigma.
    of_a, of_7 = die_figures(c, "A"), die_figures(c, 7)
    np.testing.assert_allclose([x.noise * of_a.noise * hw.total_lsb for x in of_a.columns], listed)
    assert of_7.population.noise_std == of_a.population.noise_std


def test_dies_have_one_structure_even_where_the_noise_of_some_columns_alone_is_known():
    c = chip(columns=chip().columns[:3])
    listed, drawn = (
        build_hardware(ImcConfig.model_validate({"chip": {"die": die}, "array": {"macros": 2}}), c) for die in (None, 7)
    )
    w, x = jnp.ones((8, 4)), jnp.ones((2, 8))
    f = imctrain.on_imc(lambda w, x: x @ w, listed)
    np.testing.assert_array_equal(f.chip(w, x, hardware=drawn)["dot"].noise, 1.0)
    assert np.unique(f.chip(w, x)["dot"].noise).size == 4


def test_what_estimating_them_adds_is_taken_off():
    """Columns that are alike, each with the error of 500 conversions: no spread is left but a tenth of that."""
    rng = np.random.default_rng(5)
    listed = tuple(
        Column(column=k, sigma_lsb=0.6 * np.exp(rng.standard_normal() / np.sqrt(1000)), n=500) for k in range(COLUMNS)
    )
    assert die_figures(chip(columns=listed)).population.noise_std < 0.6 / np.sqrt(1000)
    few = listed[: FEWEST_COLUMNS - 1]
    assert die_figures(chip(columns=few)).population[4:6] == (1.0, 0.0)


@pytest.mark.parametrize("die", [None, 3])
def test_the_virtual_chip_draws_the_same(die):
    c = chip(columns=chip().columns[:12])
    hw = build_hardware(ImcConfig.model_validate({"chip_seed": 4, "chip": {"die": die}}), c)
    noise = VirtualChip(c, 4).columns_of(die or 0)[2]
    np.testing.assert_allclose(macro_noise(0, hw) * hw.total_lsb, noise * np.hypot(0.5, 0.4))
    assert noise[12:].std() > 0.1


def test_offset_readings_have_the_noise_of_their_column():
    """Left over after 16 readings: sqrt((sigma^2 + 1/12) / 16) of each half of the columns."""
    listed = tuple(ColumnError(k, 1.0, 0.0, 3.0) for k in range(1000))
    figures = ChipSpec(sigma_array_lsb=0.6, columns=listed)
    hw = Hardware(chip=figures, array=ArraySpec(columns=2000, macros=1), adc=AdcSpec(offset_conversions=16))
    left = macro_corrections(0, hw.replace(chip=figures.replace(offset_mean_lsb=0.3))) - 0.0
    left = left - macro_errors(0, hw.replace(chip=figures.replace(offset_mean_lsb=0.3)))[1]
    for half, sigma in ((left[:1000], 1.8), (left[1000:], 0.6)):
        assert half.std() == pytest.approx(np.sqrt((sigma**2 + 1 / 12) / 16), rel=5 / np.sqrt(2000) + 0.01)


def test_noise_off_leaves_integers():
    rng = np.random.default_rng(6)
    x, w = integer_operands(rng, (M, K), (K, N))
    wide = columns(noise=NoiseSpec(scale=0.0), adc=AdcSpec(bits=18, range_policy="fixed"))
    y, *_ = run(dot_site(M, K, N, wide), x, w, levels(rng, (M, N)))
    np.testing.assert_allclose(y, x @ w, rtol=5e-7)
