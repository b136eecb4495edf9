"""Noise that conversions share: slow noise, which repeats do not average, and noise common to the columns of a pass.

Variances and covariances are those of the formulas, written out here; LSB at R = 1 and units of the integer product.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import array_matmul, even_tiles
from imc_sites import UNSIGNED, conv_site, dot_site, hardware, integer_operands, levels
from real_chips import chip, exactly
from scipy import stats
from tiers import slow

import imctrain
from imctrain.calibration.schema import Noise
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.columns import macro_corrections, macro_errors
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.chip.gain_readings import macro_multipliers
from imctrain.imc.engines.validity import validity
from imctrain.imc.forecast.predict import predict
from imctrain.settings import (
    AdcSpec,
    ArraySpec,
    ChipSpec,
    ColumnError,
    ConditionsConfig,
    Hardware,
    ImcConfig,
    MappingSpec,
    NoiseSpec,
)
from imctrain.settings.die import DieConfig
from imctrain.settings.site import SiteSettings

M, K, N = 4, 150, 5
R = 0.5
TOTAL, SLOW, COMMON = 1.2, 0.6, 0.5
FRESH = np.sqrt(TOTAL**2 - SLOW**2 - COMMON**2)
ADC = 0.6
UNIT = 64 * 16 * 2 / 256
"""One LSB at R = 1 of a tile, in units of the integer product."""
SIGNED_BETA, UNSIGNED_BETA = np.array([1.0, 2.0, 4.0, -8.0]), np.array([1.0, 2.0, 4.0, 8.0])
NOISY = ChipSpec(sigma_array_lsb=TOTAL, sigma_adc_lsb=ADC, sigma_slow_lsb=SLOW, sigma_common_lsb=COMMON)


def noisy(samples=1, chop=False, **changes):
    settings = {
        "chip": NOISY,
        "array": ArraySpec(rows=64, chop=chop),
        "adc": AdcSpec(range=R, polarity="bipolar", range_policy="fixed"),
        "mapping": MappingSpec(gradient_samples=samples),
    }
    return hardware(**(settings | changes))


class Power:
    """Variances of an output: by what each conversion draws anew and rounding, by slow and by common noise."""

    def __init__(self, plan, beta, relative=1.0):
        c, tiles = np.asarray(plan.mapping.coefficients), plan.tiles.count
        relative = np.broadcast_to(relative, (len(beta), 1)) if np.ndim(relative) < 2 else relative
        square = (FRESH / R) ** 2 + ADC**2
        each = (beta[:, None] ** 2 * (relative**2 * square + 1 / 12)).sum(axis=0)
        self.fresh = tiles * (UNIT * R) ** 2 * np.sum(c**2) * each
        self.slow = tiles * (UNIT * SLOW) ** 2 * c.sum() ** 2 * (beta[:, None] ** 2 * relative**2).sum(axis=0)
        self.weight = (beta[:, None] * relative).sum(axis=0)
        self.common = tiles * (UNIT * COMMON) ** 2 * np.sum(c**2) * self.weight**2


def draws(site, operands, g, key, count):
    state = site.init_state()

    def one(key):
        out, pullback = jax.vjp(lambda a, b, s: site.apply(a, b, s, key), *operands, state)
        return out, *pullback(g)

    keys = jax.random.split(jax.random.key(key), count)
    *samples, cotangent = jax.jit(lambda k: jax.lax.map(one, k, batch_size=50))(keys)
    report = site.update(state, jax.tree.map(lambda leaf: leaf[0], cotangent))[1]
    return [np.asarray(s, np.float64) for s in samples], report


def problem(rng):
    x, w = integer_operands(rng, (M, K), (K, N), low=0)
    x.flat[0], w = 15, w * rng.choice([-1, 1], w.shape)
    return x, w.astype(np.float32), levels(rng, (M, N))


def by_vector(samples):
    """Forward, input_grad and weight_grad as [draws, vectors, outputs]."""
    y, dx, dw = samples
    return y, dx, np.swapaxes(dw, 1, 2)


def covariance(samples):
    """Of different outputs of one vector, and of outputs of different vectors: means over pairs."""
    rest = samples - samples.mean(axis=0)
    outputs = rest.shape[2]
    of_one = ((rest.sum(axis=2) ** 2 - (rest**2).sum(axis=2)) / (outputs * (outputs - 1))).mean()
    vectors = rest.sum(axis=2)
    across = (vectors.sum(axis=1) ** 2 - (vectors**2).sum(axis=1)).mean()
    return of_one, across / (rest.shape[1] * (rest.shape[1] - 1) * outputs**2)


def check(samples, power, repeats=1, chopped=False):
    """Variance and covariances of [draws, vectors, outputs] against the formulas, at 5 standard errors."""
    count, vectors, outputs = samples.shape
    fresh, slow_part, common = (np.mean(part) for part in (power.fresh, power.slow, power.common))
    slow_part = slow_part / repeats if chopped else slow_part
    variance = (fresh + common) / repeats + slow_part
    common = common / repeats
    # A sum of squares over outputs of which a part is shared: its relative variance is 2 (1/n + share^2) a vector.
    error = 5 * np.sqrt(2 * (1 / outputs + (common / variance) ** 2) / (count * vectors))
    assert samples.var(axis=0).mean() / variance == pytest.approx(1, abs=error + 5e-3)
    of_one, across = covariance(samples)
    sum_of = variance / outputs + common
    assert of_one == pytest.approx(common, abs=5 * np.sqrt(2 / (count * vectors)) * sum_of + 2e-3 * variance)
    assert across == pytest.approx(0, abs=5 * sum_of / np.sqrt(count * vectors * (vectors - 1) / 2))


@pytest.mark.parametrize(
    ("path", "samples", "chop"),
    [slow("exact", 1, False), slow("exact", 4, False), slow("exact", 4, True)]
    + [slow("statistical", n, chop) for n, chop in ((1, False), (4, False), (4, True))],
)
def test_variance_and_covariance_are_those_of_the_formulas(path, samples, chop, rng):
    """Repeats divide all but the slow part, which they do where chopping turns it; columns of a pass move together."""
    count = 600
    x, w, g = problem(rng)
    site = dot_site(M, K, N, noisy(samples, chop, path=path), lhs=UNSIGNED)
    assert set(site.paths.values()) == {path}
    drawn, report = draws(site, (jnp.asarray(x), jnp.asarray(w)), jnp.asarray(g), 1, count)
    betas = (SIGNED_BETA, SIGNED_BETA, UNSIGNED_BETA)
    for plan, beta, part in zip(site.mvms, betas, by_vector(drawn), strict=True):
        power, repeats = Power(plan, beta), 1 if plan.name == "forward" else samples
        check(part, power, repeats, chop and plan.name != "forward")
        held = np.mean(power.slow) / (repeats if plan.chopped else 1)
        noise = np.mean(power.fresh + power.common) / repeats + held
        assert float(plan.mean_noise_power(jnp.full(plan.passes, R, jnp.float32))) == pytest.approx(noise, rel=1e-4)
        told = 10 ** (float(report[f"snr_db_{plan.name}"]) / 10)
        signal = np.mean(part[0] ** 2)
        assert told == pytest.approx((signal - noise) / noise, rel=1e-3)
    ideal = (x @ w, g @ w.T, (x.T @ g).T)
    for part, mean in zip(by_vector(drawn), ideal, strict=True):
        assert np.abs(part.mean(axis=0) - mean).max() < 6 * part.std(axis=0).max() / np.sqrt(count)


@pytest.mark.slow
def test_the_reference_has_these_variances_and_the_exact_path_its_distribution(rng):
    """One vector's means of 4 repeats, with one slow draw for all of them; KS of every output."""
    x, w, g = problem(rng)
    site = dot_site(M, K, N, noisy(4), lhs=UNSIGNED)
    plan = site.mvms[1]
    drawn = draws(site, (jnp.asarray(x), jnp.asarray(w)), jnp.asarray(g), 3, 400)[0][1]
    tiles = even_tiles(N, 64)
    shape = (len(tiles), 4, K)
    common = {
        "tiles": tiles, "rows": 64, "ranges": [R] * 3, "coefficients": plan.mapping.coefficients,
        "codes": plan.mapping.codes, "sigma": np.full(shape, np.hypot(FRESH / R, ADC)),
        "slow": np.full(shape, SLOW), "common": np.full(shape, COMMON), "rng": rng,
    }  # fmt: skip

    def mean_of_repeats():
        held = rng.standard_normal((len(tiles), M, 4, K))
        return np.mean([array_matmul(g, w.T, held=held, **common)[0] for _ in range(4)], axis=0)

    reference = np.stack([mean_of_repeats() for _ in range(300)])
    check(reference, Power(plan, SIGNED_BETA), 4)
    for m in range(M):
        for k in (0, K - 1):
            assert stats.ks_2samp(drawn[:, m, k], reference[:, m, k]).pvalue > 1e-5
        sums = drawn[:, m].sum(axis=1), reference[:, m].sum(axis=1)
        assert stats.ks_2samp(*sums).pvalue > 1e-5


@pytest.mark.slow
def test_both_paths_have_one_distribution(rng):
    """Of single outputs, and of sums over the outputs of a vector, which what they share makes wide."""
    x, w, g = problem(rng)
    operands = jnp.asarray(x), jnp.asarray(w)
    both = (
        by_vector(draws(dot_site(M, K, N, noisy(2, path=path), lhs=UNSIGNED), operands, jnp.asarray(g), key, 600)[0])
        for key, path in enumerate(("exact", "statistical"))
    )
    for a, b in zip(*both, strict=True):
        centre, std = b.mean(axis=0), b.std(axis=0)
        pick = rng.permutation(a.size)[:3000]
        smear = rng.uniform(-0.3, 0.3, (2, len(pick)))
        one = [((s - centre) / std).ravel()[pick] for s in (a, b)]
        assert stats.ks_2samp(one[0] + smear[0], one[1] + smear[1]).pvalue > 1e-4
        sums = [(s - centre).sum(axis=2).ravel() for s in (a, b)]
        assert stats.ks_2samp(*sums).pvalue > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_a_columns_noise_scales_all_of_its_parts(path, rng):
    relative = np.exp(np.linspace(-0.3, 0.4, 4 * N))
    listed = tuple(ColumnError(k, 1.0, 0.0, float(r)) for k, r in enumerate(relative))
    hw = noisy(chip=NOISY.replace(columns=listed), array=ArraySpec(rows=64, columns=4 * N, macros=1), path=path)
    x, w, g = problem(rng)
    site = dot_site(M, K, N, hw, lhs=UNSIGNED)
    y = draws(site, (jnp.asarray(x), jnp.asarray(w)), jnp.asarray(g), 1, 1500)[0][0]
    power = Power(site.mvms[0], SIGNED_BETA, relative.reshape(4, N))
    expected = power.fresh + power.slow + power.common
    np.testing.assert_allclose(y.var(axis=0).mean(axis=0) / expected, 1, atol=5 * np.sqrt(2 / (1500 * M)) + 5e-3)
    rest = y - y.mean(axis=0)
    found = np.einsum("dmi,dmj->ij", rest, rest) / (1500 * M)
    tiles = site.mvms[0].tiles.count
    shared = tiles * (UNIT * COMMON) ** 2 * np.outer(power.weight, power.weight)
    scale = np.sqrt(np.outer(expected, expected))
    off = ~np.eye(N, dtype=bool)
    assert np.abs((found - shared) / scale)[off].max() < 5.5 / np.sqrt(1500 * M)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_a_convolutions_channels_move_together(path, rng):
    """Unsigned images would give channels one sign; here kernels are stored, whose planes nearly cancel."""
    x, w = integer_operands(rng, (2, 5, 5, 3), (3, 3, 3, N))
    hw = noisy(chip=NOISY.replace(sigma_common_lsb=0.0, sigma_slow_lsb=0.0), path=path)
    loud = noisy(chip=NOISY.replace(sigma_common_lsb=1.1, sigma_slow_lsb=0.2), path=path)
    for spec, common, held in ((hw, 0.0, 0.0), (loud, 1.1, 0.2)):
        site = conv_site(x, w, spec, (1, 1), ((1, 1), (1, 1)), (1, 1), (1, 1), 1)
        y = draws(site, (jnp.asarray(x), jnp.asarray(w)), jnp.asarray(levels(rng, (2, 5, 5, N))), 5, 400)[0][0]
        y = y.reshape(400, 50, N)
        fresh = (TOTAL**2 - common**2 - held**2) / R**2 + ADC**2 + 1 / 12
        variance = 85 * (UNIT * R) ** 2 * fresh + 85 * (UNIT * held) ** 2 + (UNIT * common) ** 2
        assert y.var(axis=0).mean() / variance == pytest.approx(1, abs=5 * np.sqrt(2 / y.size) + 5e-3)
        of_one, across = covariance(y)
        assert of_one == pytest.approx((UNIT * common) ** 2, abs=5 * variance / np.sqrt(y.size * (N - 1) / 2))
        assert across == pytest.approx(0, abs=5 * variance / N / np.sqrt(400 * 50 * 49 / 2) + 1e-3 * variance)


def test_only_what_is_drawn_anew_dithers():
    loud = noisy(chip=ChipSpec(sigma_array_lsb=0.5))
    shared = noisy(chip=ChipSpec(sigma_array_lsb=0.5, sigma_slow_lsb=0.35, sigma_common_lsb=0.3))
    assert validity(dot_site(M, K, N, loud).mvms[0]) == ("always", "")
    answer, why = validity(dot_site(M, K, N, shared).mvms[0])
    assert answer == "never"
    assert "noise of 0.39 LSB before rounding" in why
    with pytest.raises(UserError, match="the statistical path does not hold"):
        dot_site(M, K, N, shared.replace(path="statistical"))


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "auto"])
def test_chips_in_one_vmap_and_their_gradients(path):
    w, x = jax.random.normal(jax.random.key(0), (64, N)), jax.random.normal(jax.random.key(1), (8, 64))
    key, base = jax.random.key(5), noisy(2, path=path)
    f = imctrain.on_imc(lambda w, x: x @ w, base)
    changed = ({}, {"sigma_slow_lsb": 0.2}, {"sigma_common_lsb": 0.9}, {"sigma_array_lsb": 2.0})
    chips = [f.chip(w, x, hardware=base.replace(chip=NOISY.replace(**change))) for change in changed]

    def step(chip):
        return jax.value_and_grad(lambda w: jnp.sum(jnp.tanh(0.01 * f(w, x, key=key, chip=chip))))(w)

    single = jax.jit(step)
    each = [single(chip) for chip in chips]
    assert single._cache_size() == 1
    # Backward passes of a vmap have noise of their own: values are compared, of gradients that there are any.
    values, gradients = jax.jit(jax.vmap(step))(jax.tree.map(lambda *parts: jnp.stack(parts), *chips))
    np.testing.assert_allclose(values, [value for value, _ in each], rtol=1e-4)
    for gradient in (*gradients, *(gradient for _, gradient in each)):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0
    assert len({float(value) for value, _ in each}) == 4
    own = imctrain.on_imc(lambda w, x: x @ w, base.replace(chip=NOISY.replace(sigma_slow_lsb=0.2)))
    np.testing.assert_allclose(f(w, x, key=key, chip=chips[1]), own(w, x, key=key), rtol=1e-5, atol=1e-5)


def test_a_chip_without_shared_noise_has_no_part_for_it():
    for hw in (hardware(chip=ChipSpec(sigma_array_lsb=1.0)), noisy(noise=NoiseSpec(scale=0.0))):
        assert (chip_of(hw).sigma_slow, chip_of(hw).sigma_common) == (None, None)
    found = chip_of(noisy())
    lsb = 2 / 256
    told = [float(part) for part in (found.sigma_array, found.sigma_adc, found.sigma_slow, found.sigma_common)]
    assert told == pytest.approx([FRESH * lsb, ADC, SLOW * lsb, COMMON * lsb])


def test_settings_replace_the_parts():
    def parts(**noise):
        hw = Hardware(chip=NOISY, noise=NoiseSpec(**noise))
        lsb = hw.chip.reference_lsb
        return [hw.sigma_array / lsb, hw.sigma_adc, hw.sigma_slow / lsb, hw.sigma_common / lsb]

    total = np.hypot(TOTAL, ADC)
    assert parts() == pytest.approx([FRESH, ADC, SLOW, COMMON])
    assert parts(scale=2.0) == pytest.approx([2 * FRESH, 2 * ADC, 2 * SLOW, 2 * COMMON])
    # A total keeps its split and its shares.
    assert parts(sigma_lsb=3 * total) == pytest.approx([3 * FRESH, 3 * ADC, 3 * SLOW, 3 * COMMON])
    assert parts(sigma_slow_lsb=0.0) == pytest.approx([np.sqrt(TOTAL**2 - COMMON**2), ADC, 0.0, COMMON])
    assert parts(sigma_slow_lsb=0.0, sigma_common_lsb=0.7) == pytest.approx([np.sqrt(TOTAL**2 - 0.49), ADC, 0.0, 0.7])
    # More than is present before the range is the converter's: the total stays.
    more = parts(sigma_common_lsb=1.15)
    assert more == pytest.approx([0.0, np.sqrt(total**2 - SLOW**2 - 1.15**2), SLOW, 1.15])
    with pytest.raises(UserError, match=r"noise\.sigma_slow_lsb = 3\.0 is not possible: .* within the total of 1\.34"):
        parts(sigma_slow_lsb=3.0)
    with pytest.raises(UserError, match=r"sigma_slow_lsb = 2\.0 is not possible: .* within the noise of 1 LSB"):
        ChipSpec(sigma_array_lsb=1.0, sigma_slow_lsb=2.0)


def test_a_calibrations_parts_are_those_of_its_dies_and_conditions():
    c = chip(noise=Noise(
        sigma_lsb=exactly(float(np.hypot(0.5, 0.4))), sigma_array_lsb=exactly(0.5), sigma_adc_lsb=exactly(0.4),
        sigma_slow_lsb=exactly(0.3), sigma_common_lsb=exactly(0.2),
    ))  # fmt: skip
    plain = build_hardware(ImcConfig(), c).chip
    assert (plain.sigma_slow_lsb, plain.sigma_common_lsb) == (0.3, 0.2)
    at = ConditionsConfig(temperature_c=85.0)
    warm = Hardware.filled_from(SiteSettings(), c, "exact", DieConfig(die="B"), at).chip
    by = 0.8 / np.hypot(0.5, 0.4) * np.exp(0.003 * 60)
    assert (warm.sigma_slow_lsb, warm.sigma_common_lsb) == pytest.approx((0.3 * by, 0.2 * by))


@pytest.mark.slow
def test_the_forecast_counts_slow_noise_unaveraged():
    """Of 1 and 16 repeats: what is drawn anew falls, the slow part stays."""
    found = {}
    for samples in (1, 16):
        site = dot_site(M, K, N, noisy(samples), lhs=UNSIGNED)
        plan = site.mvms[1]
        power = Power(plan, SIGNED_BETA)
        found[samples] = predict(site)["input_grad"].noise
        expected = np.mean(power.fresh + power.common) / samples + np.mean(power.slow)
        assert found[samples] == pytest.approx(expected, rel=1e-4)
    assert found[16] > 0.2 * found[1]


def test_readings_at_zero_do_not_average_slow_noise():
    """64 of them, at R = 1/8: slow noise stays, common noise moves all columns of a macro alike."""
    hw = Hardware(
        chip=NOISY.replace(offset_std_lsb=0.5), array=ArraySpec(columns=2000, macros=1),
        adc=AdcSpec(offset_conversions=64, offset_range=1 / 8),
    )  # fmt: skip
    left = macro_corrections(0, hw) - macro_errors(0, hw)[1]
    rest = ((FRESH * 8) ** 2 + ADC**2 + 1 / 12) / 64 / 64
    assert left.std() == pytest.approx(np.sqrt(SLOW**2 + rest), rel=5 / np.sqrt(4000) + 0.01)
    assert abs(left.mean()) < 5 * np.sqrt(COMMON**2 / 64 + left.var() / 2000)
    many = [
        macro_corrections(0, hw.replace(chip_seed=s)) - macro_errors(0, hw.replace(chip_seed=s))[1] for s in range(30)
    ]
    assert np.std([one.mean() for one in many]) == pytest.approx(
        np.hypot(COMMON / 8, left.std() / np.sqrt(2000)), rel=0.65
    )


def test_readings_of_gains_do_not_average_slow_noise():
    """Of 10^6 readings at an input of 1/4 and at zero: two slow draws stay, over the input's 32 LSB."""
    hw = Hardware(
        chip=NOISY.replace(gain_std=1e-9), array=ArraySpec(columns=2000, macros=1),
        adc=AdcSpec(gain_conversions=10**6, gain_input=0.25, gain_range=0.5),
    )  # fmt: skip
    estimates = 1.0 / macro_multipliers(0, hw)
    assert estimates.std() == pytest.approx(np.sqrt(2) * SLOW / 32, rel=5 / np.sqrt(4000) + 0.02)
    assert abs(estimates.mean() - 1) < 5 * SLOW / 32 / np.sqrt(1000) + 1e-3


@pytest.mark.slow
def test_both_paths_agree_where_all_of_it_comes_together(rng):
    """Slow and common noise, curves, gains and offsets that are calibrated, columns that differ in noise, a dead
    one."""
    listed = tuple(ColumnError(k, 1.0 + 0.02 * (k % 3), 0.3, 1.0 + 0.02 * k) for k in range(4 * N))
    listed = (*listed[:7], ColumnError(7, 0.0, 2.0, 1.0), *listed[8:])
    figures = NOISY.replace(
        columns=listed, inl_column_rms_lsb=0.03, dead_share=0.05, dead_offsets_lsb=(2.0,), dead_columns=(7,)
    )
    adc = AdcSpec(
        range=0.25, polarity="bipolar", range_policy="fixed", gain_conversions=64, gain_input=0.5, gain_range=1.0,
        offset_conversions=64, offset_range=0.125,
    )  # fmt: skip
    x, w, g = problem(rng)
    operands, paths = (jnp.asarray(x), jnp.asarray(w)), ("exact", "statistical")
    array = ArraySpec(rows=64, columns=4 * N, macros=1)
    sites = [dot_site(M, K, N, noisy(2, chip=figures, adc=adc, array=array, path=p), lhs=UNSIGNED) for p in paths]
    assert set(sites[1].paths.values()) == {"statistical"}
    found = [by_vector(draws(site, operands, jnp.asarray(g), 7 + i, 500)[0]) for i, site in enumerate(sites)]
    for exact, drawn in zip(*found, strict=True):
        std = drawn.std(axis=0)
        assert exact.var(axis=0).mean() / drawn.var(axis=0).mean() == pytest.approx(1, abs=0.05)
        # A curve of 0.03 LSB is up to 0.03 LSB at R = 1 off its line in a column, 16 of them and 3 tiles.
        assert np.abs(exact.mean(axis=0) - drawn.mean(axis=0)).max() < (6 * np.sqrt(2 / 500) + 0.25) * std.max()
        sums = [(s - drawn.mean(axis=0)).sum(axis=2) for s in (exact, drawn)]
        assert sums[0].var(axis=0).mean() / sums[1].var(axis=0).mean() == pytest.approx(1, abs=0.25)
