"""DNL: codes of the converter differ in width. The exact path converts by their edges; statistics hold for small
errors.

What is expected comes from the edges and from the probabilities of codes, written out here.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from imc_reference import array_matmul, even_tiles
from imc_sites import UNSIGNED, dot_site, hardware, integer_operands, levels, product, products, run
from real_chips import chip
from scipy import stats
from scipy.special import ndtr
from tiers import slow

import imctrain
from imctrain.calibration import load_calibration, save_calibration
from imctrain.calibration.calibrate import Request, calibrate_file
from imctrain.calibration.schema import Dnl
from imctrain.calibration.virtual_chip import ConverterFaults, SamplePlan, VirtualChip, write_samples
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.adc import converter
from imctrain.imc.chip.code_widths import code_thresholds
from imctrain.imc.chip.columns import macro_corrections, macro_errors
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.engines.validity import validity
from imctrain.intercept import Rule
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, Hardware, ImcConfig, NoiseSpec

M, K, N = 4, 150, 5
BETA = np.array([1.0, 2.0, 4.0, -8.0])
UNIT = 64 * 16


def table(std, seed=0, missing=(), low=-127, high=126):
    """Edges of codes low to high, each off its place by a draw of `std`; missing codes begin where the next one
    does."""
    places = np.arange(low, high + 2) - 0.5
    edges = places + std * np.random.default_rng([seed, 3]).uniform(-1, 1, places.size)
    for code in missing:
        edges[code - low] = edges[code + 1 - low]
    return ChipSpec(dnl_first_code=low, dnl_thresholds=tuple(edges.tolist()))


def wide(figures, path="exact", polarity="bipolar", reference=1 / 8, **changes):
    adc = AdcSpec(range=reference, polarity=polarity, range_policy="fixed")
    settings = {"chip": figures, "array": ArraySpec(rows=64), "adc": adc, "path": path}
    return hardware(**(settings | changes))


@pytest.mark.parametrize(
    ("polarity", "mismatch"),
    [("unipolar", True), slow("bipolar", False), slow("bipolar", True), slow("unipolar", False)],
)
def test_conversions_are_those_of_the_reference(polarity, mismatch, rng):
    """Edges up to 0.45 LSB off, missing codes; a unipolar converter gives the same bits of the code."""
    unipolar = polarity == "unipolar"
    x, w = integer_operands(rng, (M, K), (K, N), low=0 if unipolar else -7)
    x, w = (abs(x), abs(w)) if unipolar else (x, w)
    x.flat[0] = 15 if unipolar else 7
    figures = table(0.45, missing=(-100, -3, 0, 1, 90))
    extra, changes = {}, {}
    if mismatch:
        figures = figures.replace(gain_std=0.05, offset_std_lsb=0.3)
        changes = {"array": ArraySpec(rows=64, columns=4 * N, macros=1)}
    hw = wide(figures, polarity=polarity, reference=0.5 if unipolar else 0.25, **changes)
    tiles = even_tiles(K, 64)
    if mismatch:
        gain, offset = (np.broadcast_to(part.reshape(4, N), (len(tiles), 4, N)) for part in macro_errors(0, hw))
        extra = {"gain": gain, "offset": offset * hw.chip.reference_lsb}
    site = dot_site(M, K, N, hw, **({"lhs": UNSIGNED} if unipolar else {}))
    assert site.mvms[0].converter.unipolar == unipolar
    y = product(site, x, w)
    edges = np.array(figures.dnl_thresholds) + (128 if unipolar else 0)
    assert len(edges) == 255
    expected, clipped = array_matmul(
        x, w, tiles=tiles, rows=64, unipolar=unipolar, ranges=[hw.adc.range], edges=edges, **extra
    )
    step = 8 * UNIT * (1 if unipolar else 2) / 256 * hw.adc.range
    # float32 may fall on the other side of an edge: one code of the heaviest plane (two at a missing one), rarely.
    assert np.max(np.abs(y - expected)) <= 2.01 * step
    assert np.mean(np.abs(y - expected) > 1e-2) < 0.05
    plain, _ = array_matmul(x, w, tiles=tiles, rows=64, unipolar=unipolar, ranges=[hw.adc.range], **extra)
    assert np.mean(np.abs(y - plain) > 1e-2) > 0.5
    # Offsets below zero clip where there are no codes below zero.
    assert (clipped > 0) == (unipolar and mismatch)


@pytest.mark.slow
def test_what_is_beyond_the_codes_clips_and_is_counted(rng):
    x, w = integer_operands(rng, (M, K), (K, N))
    seen = []
    for figures in (ChipSpec(), table(0.3)):
        *_, telemetry = run(dot_site(M, K, N, wide(figures, reference=1 / 64)), x, w, levels(rng, (M, N)))
        seen.append(float(telemetry.telemetry.mvms["forward"].clipped[0]))
    assert seen[0] > 0.05
    assert seen[1] == pytest.approx(seen[0], abs=0.01)


def draws(site, operands, g, key, count):
    state = site.init_state()

    def one(key):
        out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), *operands)
        return out, *pullback(g)

    keys = jax.random.split(jax.random.key(key), count)
    samples = jax.jit(lambda k: jax.lax.map(one, k, batch_size=50))(keys)
    return [np.asarray(s, np.float64) for s in samples]


def moments(x, w, edges, sigma, reference):
    """Mean and variance of every output, from the probabilities of all codes."""
    cells = (w.astype(int)[:, None, :] >> np.arange(4)[:, None]) & 1
    mean = variance = 0.0
    for rows in even_tiles(x.shape[1], 64):
        volts = np.einsum("mk,kjn->mjn", x[:, rows], cells[rows]) / UNIT * 128 / reference
        below = np.concatenate([ndtr((edges - volts[..., None]) / sigma), np.ones((*volts.shape, 1))], axis=-1)
        share, codes = np.diff(below, axis=-1, prepend=0.0), np.arange(-128, 128)
        first = share @ codes
        unit = BETA[:, None] * UNIT * reference / 128
        mean = mean + (unit * first).sum(axis=1)
        variance = variance + (unit**2 * (share @ codes**2 - first**2)).sum(axis=1)
    return mean, variance


@pytest.mark.slow
def test_mean_and_variance_with_noise_are_those_of_the_probabilities_of_codes(rng):
    count = 2000
    x, w = integer_operands(rng, (M, K), (K, N))
    figures = table(0.45, missing=(-3, 0, 5)).replace(sigma_adc_lsb=0.4)
    site = dot_site(M, K, N, wide(figures))
    y = products(site, jnp.asarray(x), jnp.asarray(w), 1, count)
    mean, variance = moments(x, w, np.array(figures.dnl_thresholds), 0.4, 1 / 8)
    assert np.all(np.abs(y.mean(axis=0) - mean) < 5.5 * np.sqrt(variance / count))
    np.testing.assert_allclose(y.var(axis=0) / variance, 1, atol=5.5 * np.sqrt(2 / count) + 0.02)
    assert np.abs(mean - x @ w).max() > 5 * 5.5 * np.sqrt(variance.max() / count)


def test_the_variance_of_rounding():
    """sum w^3 / (12 sum w) where codes lie in the middle of their widths; a fine sweep where they do not."""
    edges = np.cumsum([0.0, *(1.2, 0.8) * 127]) + np.arange(-127, 128)[0] - 0.6
    conv = converter(wide(ChipSpec(dnl_first_code=-127, dnl_thresholds=tuple(edges.tolist()))), non_negative=False)
    widths = np.diff(edges)
    assert float(conv.rounding_power) == pytest.approx(np.sum(widths**3) / (12 * widths.sum()), rel=1e-4)
    figures = table(0.4, missing=(7,))
    edges = np.array(figures.dnl_thresholds)
    conv = converter(wide(figures), non_negative=False)
    v = np.linspace(edges[0], edges[-1], 2_000_001)[:-1]
    codes = np.searchsorted(edges, v, side="right") - 128
    assert float(conv.rounding_power) == pytest.approx(np.var(codes - v), rel=1e-3)
    assert float(conv.rounding_power) > 1.3 / 12
    equal = converter(
        wide(ChipSpec(dnl_first_code=-127, dnl_thresholds=tuple(np.arange(-127.5, 127)))), non_negative=False
    )
    assert float(equal.rounding_power) == pytest.approx(1 / 12, rel=1e-4)
    assert converter(wide(ChipSpec()), non_negative=False).rounding_power == 1 / 12


@pytest.mark.slow
def test_both_paths_have_one_distribution(rng):
    """Edges up to 0.24 LSB off, which the statistical path takes as noise of the variance above."""
    x, w = integer_operands(rng, (24, K), (K, 20))
    g = levels(rng, (24, 20))
    figures = table(0.24).replace(sigma_adc_lsb=0.55)
    operands = jnp.asarray(x), jnp.asarray(w)
    sites = [dot_site(24, K, 20, wide(figures, path, reference=1 / 4)) for path in ("exact", "statistical")]
    assert sites[1].paths["forward"] == "statistical"
    both = (draws(s, operands, jnp.asarray(g), 2 + i, 200) for i, s in enumerate(sites))
    for ideal, exact, drawn in zip((x @ w, g @ w.T, x.T @ g), *both, strict=True):
        # Over outputs: one output's error has a mean of its own, the edges around its voltages.
        power = [np.mean((s - ideal) ** 2) for s in (exact, drawn)]
        assert power[0] / power[1] == pytest.approx(1, abs=0.02)
        scale, pick = np.sqrt(power[1]), np.arange(ideal.size)
        a, b = ((s - ideal).reshape(200, -1)[pick % 200, pick] / scale for s in (exact, drawn))
        smear = rng.uniform(-0.3, 0.3, (2, len(a)))
        assert stats.ks_2samp(a + smear[0], b + smear[1]).pvalue > 1e-4


def test_edges_far_off_and_missing_codes_are_left_to_the_exact_path():
    near, far = table(0.2).replace(sigma_adc_lsb=0.6), table(0.4).replace(sigma_adc_lsb=0.6)
    assert validity(dot_site(M, K, N, wide(near)).mvms[0]) == ("always", "")
    for figures in (far, table(0.0, missing=(3,)).replace(sigma_adc_lsb=0.6)):
        answer, why = validity(dot_site(M, K, N, wide(figures)).mvms[0])
        assert answer == "never"
        assert "an edge of the converter's codes is" in why
        assert set(dot_site(M, K, N, wide(figures, "auto")).paths.values()) == {"exact"}
        with pytest.raises(UserError, match=r"LSB off its place \(DNL\), the limit is 0\.25; use path = 'auto'"):
            dot_site(M, K, N, wide(figures, "statistical"))


@pytest.mark.slow
def test_a_given_chips_edges_decide_in_the_call():
    w, x = jax.random.normal(jax.random.key(0), (64, N)), jax.random.normal(jax.random.key(1), (8, 64))
    near, far = (wide(table(std).replace(sigma_adc_lsb=0.8), "auto") for std in (0.1, 0.45))
    f = imctrain.on_imc(lambda w, x: x @ w, near)
    key, shares = jax.random.key(2), []
    for given in (near, far):
        parts = f.chip(w, x, hardware=given)
        grad = jax.grad(lambda s, parts=parts: jnp.sum(f(w, x, key=key, state=s, chip=parts)))(f.init(w, x))
        shares.append(float(f.update(f.init(w, x), grad)[1]["dot"]["statistical_forward"]))
    assert shares == [1.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "auto"])
def test_chips_in_one_vmap_and_their_gradients(path):
    """Another table, of other codes too, is another argument of one program."""
    w, x = jax.random.normal(jax.random.key(0), (64, N)), jax.random.normal(jax.random.key(1), (8, 64))
    key, base = jax.random.key(5), wide(table(0.2).replace(sigma_adc_lsb=0.6), path)
    f = imctrain.on_imc(lambda w, x: x @ w, base)
    tables = (table(0.2), table(0.2, seed=1), table(0.1, low=-20, high=30), table(0.45, missing=(0, 2)))
    chips = [f.chip(w, x, hardware=base.replace(chip=figures.replace(sigma_adc_lsb=0.6))) for figures in tables]

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


def test_another_width_of_the_converter_has_no_table():
    figures = table(0.2)
    with pytest.raises(
        UserError, match=r"adc\.bits = 6 is not possible: allowed is 8, .* or any with noise\.dnl = false"
    ):
        Hardware(chip=figures, adc=AdcSpec(bits=6))
    assert Hardware(chip=figures, adc=AdcSpec(bits=6), path="digital").adc.bits == 6
    for noise in (NoiseSpec(dnl=False), NoiseSpec(mismatch=False)):
        without = Hardware(chip=figures, adc=AdcSpec(bits=6), noise=noise)
        assert not without.has_dnl
        assert chip_of(without).thresholds is None
    rules = (Rule("*", overrides={"adc.bits": 6}),)
    with pytest.raises(UserError, match=r"rule '\*': adc\.bits = 6 is not possible") as error:
        imctrain.on_imc(lambda w, x: x @ w, Hardware(chip=figures), rules=rules)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="reference_bits = 18 is not possible: allowed is at most 16 with code widths"):
        figures.replace(reference_bits=18)


WIDTHS = (1.6, 0.4, 1.0, 0.0, 2.0)


def test_a_calibrations_table():
    c = chip(dnl=Dnl(first_code=-3, start_lsb=0.25, width=WIDTHS))
    hw = build_hardware(ImcConfig(), c)
    found = np.array(code_thresholds(hw)) - 128
    expected = np.arange(-127.5, 127)
    expected[124:130] = -3.25 + np.cumsum([0, *WIDTHS])
    np.testing.assert_allclose(found, expected)
    assert not build_hardware(ImcConfig(), chip()).has_dnl
    dies = [build_hardware(ImcConfig.model_validate({"chip": {"die": die}}), c) for die in ("A", 3)]
    assert all(code_thresholds(one) == code_thresholds(hw) for one in dies)


def test_a_table_of_codes_that_the_converter_lacks(tmp_path):
    c = chip(dnl=Dnl(first_code=120, width=(1.0,) * 20))
    save_calibration(c, tmp_path / "far.json")
    with pytest.raises(
        UserError, match="dnl: width lists codes 120 to 139: codes of a bipolar converter of 8 bits are"
    ):
        load_calibration(str(tmp_path / "far.json"))
    save_calibration(chip(dnl=Dnl(first_code=-128, width=(1.0,) * 256)), tmp_path / "all.json")
    assert len(load_calibration(str(tmp_path / "all.json")).dnl.width) == 256


def test_the_virtual_chip_has_the_table_of_its_calibration():
    dnl = Dnl(first_code=-64, width=(1.6, 0.4) * 64)
    plan = SamplePlan(conversions=3000)
    a = pl.concat(list(VirtualChip(chip(dnl=dnl), 1).frames(plan)))
    b = pl.concat(list(VirtualChip(chip(), 1, ConverterFaults(dnl=dnl)).frames(plan)))
    plain = pl.concat(list(VirtualChip(chip(), 1).frames(plan)))
    assert a.equals(b)
    assert not a.equals(plain)


def test_readings_at_zero_see_the_edges():
    """Without noise, and with some: the mean over the codes around each offset."""
    figures = table(0.45, missing=(0,)).replace(offset_std_lsb=2.0)
    adc, array = AdcSpec(offset_conversions=10**6), ArraySpec(columns=400, macros=1)
    edges = np.array(figures.dnl_thresholds)
    for sigma in (0.0, 0.3):
        hw = Hardware(chip=figures.replace(sigma_adc_lsb=sigma), adc=adc, array=array)
        offset = macro_errors(0, hw)[1]
        if sigma:
            below = np.concatenate([ndtr((edges - offset[:, None]) / sigma), np.ones((len(offset), 1))], axis=1)
            expected = np.diff(below, axis=1, prepend=0.0) @ np.arange(-128, 128)
        else:
            expected = np.searchsorted(edges, offset, side="right") - 128.0
        np.testing.assert_allclose(macro_corrections(0, hw), expected, atol=6 * 1.1 / 1000)


@pytest.mark.slow
def test_a_calibrated_table_gives_the_layer_the_chips_errors(tmp_path):
    """Sample, calibrate, simulate: means of outputs follow the true edges, and not those of equal codes."""
    edges = np.array(table(0.35, low=-100, high=100).dnl_thresholds)
    edges = edges - np.convolve(edges - np.arange(-100, 102) + 0.5, np.ones(15) / 15, "same")
    truth = load_calibration("feasible-assumed").model_copy(
        update={"dnl": Dnl(first_code=-100, start_lsb=float(edges[0] + 100.5), width=tuple(np.diff(edges).tolist()))}
    )
    virtual = VirtualChip(truth, 2)
    write_samples(virtual, SamplePlan(conversions=400_000, columns=32), tmp_path / "m.parquet")
    found, _ = calibrate_file(tmp_path / "m.parquet", virtual.setup, Request("again", replicates=20))
    assert found.dnl is not None
    save_calibration(found, tmp_path / "found.json")
    rng = np.random.default_rng(4)
    x, w = integer_operands(rng, (M, K), (K, N))
    settings = {"array": ArraySpec(rows=64, replicate=False), "adc": AdcSpec(range_policy="fixed")}
    hw = Hardware.from_calibration(tmp_path / "found.json", formats=hardware().formats, **settings)
    hw = hw.replace(chip=hw.chip.replace(columns=(), gain_std=0.0, offset_std_lsb=0.0, gain_mean=1.0,
                    offset_mean_lsb=0.0, noise_median=1.0, noise_std=0.0, noise_varies=False, inl_v=(), inl_lsb=(),
                    inl_column_rms_lsb=0.0))  # fmt: skip
    y = products(dot_site(M, K, N, hw), jnp.asarray(x), jnp.asarray(w), 1, 600)
    every = np.arange(-127, 128) - 0.5
    every[27 : 27 + edges.size] = edges
    mean, _ = moments(x, w, every, truth.noise.sigma_lsb.value, 1.0)
    error, size = y.mean(axis=0) - mean, y.mean(axis=0) - x @ w
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(size**2))
