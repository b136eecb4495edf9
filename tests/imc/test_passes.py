"""DACs that do not hold an operand's codes, and DACs without negative codes: integers, conversions, noise, SNR."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import array_matmul, conv_matrices, even_tiles
from imc_sites import ACTIVATION, UNSIGNED, WIDE, conv_site, dot_site, hardware, integer_operands, integers, levels, run
from tiers import slow

import imctrain
from imctrain.imc.site.encode import clip_lowering
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, FormatSpec, Hardware, MappingSpec, NoiseSpec


def operands(rng, m, k, n, unsigned):
    x, w = integer_operands(rng, (m, k), (k, n), low=0 if unsigned else -7)
    if unsigned:
        x = np.minimum(x * 2 + rng.integers(0, 2, x.shape), 15).astype(np.float32)
        x.flat[0], x.flat[1] = 15, 1
        w[1:] *= rng.choice([-1, 1], w[1:].shape)
    return x, w


def a_site(m, k, n, hw, unsigned, **kwargs):
    return dot_site(m, k, n, hw, lhs=UNSIGNED if unsigned else ACTIVATION, **kwargs)


GRADIENT = {
    1: MappingSpec(gradient="bit_serial"),
    2: MappingSpec(gradient="grouped"),
    4: MappingSpec(passes=4),
    8: MappingSpec(),
}
"""Mappings that a DAC of so many levels has."""

CASES = [
    # bits, drive, activation, unsigned, full drive, cell
    (1, "signed", "balanced", True, False, "and"),
    (1, "signed", "balanced", False, False, "xnor"),
    (1, "signed", "balanced", True, True, "and"),
    (2, "signed", "balanced", True, False, "xnor"),
    (2, "signed", "digit_serial", False, False, "and"),
    (2, "signed", "digit_serial", True, True, "and"),
    (3, "signed", "balanced", True, True, "and"),
    (3, "signed", "digit_serial", True, False, "and"),
    (4, "signed", "balanced", True, False, "and"),
    (4, "signed", "digit_serial", True, False, "xnor"),
    (1, "unsigned", "digit_serial", True, False, "and"),
    (1, "unsigned", "digit_serial", False, True, "and"),
    (1, "unsigned", "balanced", False, False, "and"),
    (2, "unsigned", "balanced", True, False, "xnor"),
    (3, "unsigned", "balanced", False, True, "xnor"),
    (4, "unsigned", "balanced", False, False, "and"),
    (4, "unsigned", "balanced", True, True, "and"),
]


@pytest.mark.parametrize(
    ("bits", "drive", "activation", "unsigned", "full", "cell"),
    [CASES[14], *(slow(*case) for case in (*CASES[:14], *CASES[15:]))],
)
def test_integers_and_conversions(rng, bits, drive, activation, unsigned, full, cell):
    """All three MVMs: exact integers with a wide converter; with one of eight bits, what the slow reference gives."""
    m, k, n, rows = 6, 37, 5, 16
    x, w = operands(rng, m, k, n, unsigned)
    g = levels(rng, (m, n))
    array = ArraySpec(rows=rows, input_bits=bits, drive=drive, cell=cell)
    # Coefficients are whole numbers: 4**k / 3 would not be exact.
    gradient = GRADIENT.get(array.levels, MappingSpec(gradient="grouped" if bits < 3 else "balanced"))
    spec = gradient.replace(activation=activation, full_drive=full)
    inside = x >= 0 if unsigned else np.ones_like(x)

    y, dx, dw, _ = run(a_site(m, k, n, hardware(array=array, adc=WIDE, mapping=spec), unsigned), x, w, g)
    assert np.array_equal(integers(y), x.astype(float) @ w)
    assert np.array_equal(integers(dx), (g.astype(float) @ w.T) * inside)
    assert np.array_equal(integers(dw), x.T.astype(float) @ g)

    site = a_site(m, k, n, hardware(array=array, adc=AdcSpec(range=0.5), mapping=spec), unsigned)
    y, dx, dw, cotangent = run(site, x, w, g)
    found = (y, dx, dw.T)
    forward, input_grad, weight_grad = site.mvms
    shape = {"forward": (m, k, n), "input_grad": (m, n, k), "weight_grad": (n, m, k)}
    for plan, product, (a, b), stored_signed in (
        (forward, found[0], (x, w), True),
        (input_grad, found[1], (g, w.T), True),
        (weight_grad, found[2], (g.T, x), not unsigned),
    ):
        mapping = plan.mapping
        negative = drive == "signed" and (plan is not forward or not unsigned or mapping.centre != 0)
        assert plan.converter.unipolar == (cell == "and" and not negative)
        tiles = even_tiles(a.shape[1], rows)
        expected, clipped = array_matmul(
            a, b, tiles=tiles, rows=rows, cell=cell, stored_signed=stored_signed, unipolar=plan.converter.unipolar,
            levels=2 ** (bits - 1) if drive == "signed" else 2**bits - 1, ranges=[0.5] * plan.passes,
            coefficients=mapping.coefficients, codes=mapping.codes, centre=mapping.centre,
            magnitudes=mapping.magnitudes if mapping.codes else None, differential=mapping.differential,
        )  # fmt: skip
        if plan is input_grad:
            expected = expected * inside
        np.testing.assert_allclose(product, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
        vectors, _, outputs = shape[plan.name]
        each = len(tiles) * vectors * outputs * 4
        assert plan.conversions == plan.passes * each
        counted = np.asarray(cotangent.telemetry.mvms[plan.name].clipped)
        assert counted.shape == (plan.passes,)
        assert np.isclose(counted.sum() * each, clipped, atol=0.01)


@pytest.mark.parametrize(
    ("bits", "drive", "unsigned", "full"),
    [
        slow(1, "signed", True, False),
        (2, "signed", True, True),
        slow(2, "unsigned", False, True),
        slow(3, "unsigned", False, False),
    ],
)
def test_convolutions(rng, bits, drive, unsigned, full):
    """Gated rows around an image are no code, whatever is driven as code 0; tiles cut channels."""
    image, kernel = (2, 6, 5, 6), (3, 3, 3, 4)
    x, w = integer_operands(rng, image, kernel, low=0 if unsigned else -7)
    if unsigned:
        x.flat[0], w[..., ::2] = 15, -w[..., ::2]
    spec = MappingSpec(gradient="grouped", full_drive=full)
    hw = hardware(array=ArraySpec(rows=20, input_bits=bits, drive=drive), adc=WIDE, mapping=spec)
    how = ((2, 1), ((1, 1), (2, 0)), (1, 1), (1, 1), 2)
    patches, kernels, out = conv_matrices(x, w, *how)
    g = levels(rng, (2, *out, 4))
    site = conv_site(x, w, hw, *how, lhs=UNSIGNED if unsigned else ACTIVATION)
    y, _, dw, _ = run(site, x, w, g)
    for group in range(2):
        part = slice(2 * group, 2 * group + 2)
        flat = integers(y[..., part]).reshape(-1, 2)
        assert np.array_equal(flat, patches[group] @ kernels[group].astype(float))
        expected = patches[group].T @ g[..., part].reshape(-1, 2).astype(float)
        assert np.array_equal(integers(dw[..., part]).reshape(-1, 2), expected)


DRAWS = 2000


def draws(site, x, w, g=None):
    """Outputs, or (dx, dw) for the output gradient g, of DRAWS executions."""
    state = site.init_state()

    def one(key):
        if g is None:
            return site.apply(x, w, state, key)
        return jax.vjp(lambda a, b: site.apply(a, b, state, key), x, w)[1](g)

    keys = jax.random.split(jax.random.key(3), DRAWS)
    samples = jax.jit(lambda k: jax.lax.map(one, k, batch_size=100))(keys)
    return jax.tree.map(lambda a: np.asarray(a, np.float64), samples)


def check(samples, mean, sigma):
    """Mean within 5 standard errors, pooled variance within 5 sigma of it."""
    assert np.all(np.abs(samples.mean(axis=0) - mean) < 5 * sigma / np.sqrt(DRAWS))
    assert abs(samples.var(axis=0).mean() / sigma**2 - 1) < 5 * np.sqrt(2 / samples.size) + 2e-3


@pytest.mark.parametrize("path", [slow("exact"), "statistical"])
@pytest.mark.parametrize(
    ("bits", "drive", "activation", "squares"),
    [
        slow(1, "signed", "balanced", 85),
        slow(2, "signed", "balanced", 26),
        (3, "signed", "balanced", 10),
        slow(4, "signed", "balanced", 2),
        slow(5, "signed", "balanced", 1),
        slow(4, "signed", "digit_serial", 65),
        (3, "unsigned", "balanced", 5),
    ],
)
def test_noise_of_activations(rng, path, bits, drive, activation, squares):
    """sigma_Y = L |c| N lsb |beta| sqrt(T (sigma^2 + 1/12))."""
    m, k, n, rows, sigma = 4, 300, 6, 160, 1.0
    x, w = operands(rng, m, k, n, True)
    array = ArraySpec(rows=rows, input_bits=bits, drive=drive)
    hw = hardware(
        array=array,
        adc=AdcSpec(polarity="bipolar"),
        noise=NoiseSpec(sigma_array_lsb=sigma),
        mapping=MappingSpec(gradient="bit_serial", activation=activation),
        path=path,
    )
    site = a_site(m, k, n, hw, True)
    top = 2 ** (bits - 1) if drive == "signed" else 2**bits - 1
    expected = top * np.sqrt(squares) * rows * (2 / 2**8) * np.sqrt(85) * np.sqrt(2 * (sigma**2 + 1 / 12))
    np.testing.assert_allclose(site.mvms[0].output_noise_power(jnp.ones(site.mvms[0].passes)), expected**2, rtol=1e-5)
    check(draws(site, jnp.asarray(x), jnp.asarray(w)), x @ w, expected)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
@pytest.mark.parametrize("bits", [2, 4])
def test_differential_gradients(rng, path, bits):
    """An unsigned drive: twice the passes, sum c^2 twice as large, and a column's offset cancels."""
    m, k, n, rows = 20, 12, 8, 128
    x, w = operands(rng, m, k, n, False)
    g = levels(rng, (m, n))
    spec = MappingSpec(gradient="bit_serial") if bits == 2 else MappingSpec()
    hw = hardware(
        array=ArraySpec(rows=rows, input_bits=bits, drive="unsigned"),
        adc=AdcSpec(polarity="bipolar"),
        chip=ChipSpec(sigma_array_lsb=1.0, offset_std_lsb=2.0),
        mapping=spec,
        path=path,
    )
    site = a_site(m, k, n, hw, False)
    plan = site.mvms[1]
    assert plan.passes == (14 if bits == 2 else 6)
    squares = 2 * sum(16.0**p for p in range(7)) / 3**2 if bits == 2 else 2 * (96**2 + 94**2 + 89**2)
    sigma = (2**bits - 1) * np.sqrt(squares) * rows * (2 / 2**8) * np.sqrt(85 * (1 + 1 / 12))
    dx, dw = draws(site, jnp.asarray(x), jnp.asarray(w), jnp.asarray(g))
    check(dx, g @ w.T, sigma)
    check(dw, x.T @ g, sigma)


@pytest.mark.slow
@pytest.mark.parametrize("drive", ["signed", "unsigned"])
def test_snr_over_input_bits(rng, drive):
    """A DAC of fewer bits is never better at equal conversions, and balanced passes are close behind; measured."""
    m, k, n = 8, 255, 8
    x, w = operands(rng, m, k, n, True)
    ideal = x.astype(float) @ w

    def snr(bits, activation):
        hw = hardware(
            array=ArraySpec(rows=k, input_bits=bits, drive=drive),
            adc=AdcSpec(polarity="bipolar"),
            noise=NoiseSpec(sigma_array_lsb=1.0),
            mapping=MappingSpec(gradient="bit_serial", activation=activation),
        )
        site = a_site(m, k, n, hw, True)
        error = draws(site, jnp.asarray(x), jnp.asarray(w)) - ideal
        return 10 * np.log10(np.mean(ideal**2) / np.mean(error**2)) - 10 * np.log10(site.mvms[0].passes)

    # Noise at equal conversions, L sqrt(P sum c^2); an unsigned DAC of 4 bits holds the code.
    best, narrower = (5, {4: 0.0, 3: 0.97, 2: 0.86, 1: 1.23}) if drive == "signed" else (4, {3: 3.38, 2: 1.33, 1: 1.79})
    reference = snr(best, "balanced")
    assert reference == pytest.approx(snr(best, "digit_serial"), abs=1e-6)
    for bits, behind in narrower.items():
        assert reference - snr(bits, "balanced") == pytest.approx(behind, abs=0.1)
    widest = best - 1
    digits = {"signed": 15.12, "unsigned": 14.52}[drive]
    assert reference - snr(widest, "digit_serial") == pytest.approx(digits, abs=0.1)


@pytest.mark.slow
def test_a_dac_too_small_through_the_public_interface():
    """uint4 codes on DACs of few bits, without noise: what the report says at equal conversions falls in the end."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.nn.relu(jax.random.normal(keys[0], (64, 255)))
    w = jax.random.normal(keys[1], (255, 16))
    formats = FormatSpec()
    equal = {}
    for bits in (5, 4, 2, 1):
        hw = Hardware(
            array=ArraySpec(rows=255, input_bits=bits),
            adc=AdcSpec(round_to_integers=False),  # with one bit, single integers could be told apart
            mapping=MappingSpec(gradient="bit_serial"),
            formats=formats,
        )
        f = imctrain.on_imc(lambda w, x: jnp.sum((jax.nn.relu(x) @ w) ** 2), hw)
        state = f.init(w, x)
        telemetry = jax.grad(lambda w, s, f=f: f(w, x, key=keys[2], state=s), argnums=(0, 1))(w, state)[1]
        _, report = f.update(state, telemetry)
        (entry,) = f.ledger(w, x)
        forward = next(plan for plan in entry.mvms if plan.name == "forward")
        assert forward.passes == {5: 1, 4: 2, 2: 3, 1: 4}[bits]
        assert forward.conversions == forward.passes * 64 * 16 * 4
        equal[bits] = float(report["dot"]["snr_db_forward"]) - 10 * np.log10(forward.passes)
    behind = {bits: equal[5] - snr for bits, snr in equal.items()}
    assert all(-0.5 < behind[bits] < 1.8 for bits in behind)


@pytest.mark.parametrize("full", [False, slow(True)])
def test_chopped_vectors_of_an_unsigned_drive(rng, full):
    x, w = operands(rng, 6, 33, 5, False)
    g = levels(rng, (6, 5))
    array = ArraySpec(rows=16, input_bits=3, drive="unsigned", chop=True)
    site = a_site(6, 33, 5, hardware(array=array, adc=WIDE, mapping=MappingSpec(full_drive=full)), False)
    y, dx, dw, _ = run(site, x, w, g)
    assert np.array_equal(integers(y), x.astype(float) @ w)
    assert np.array_equal(integers(dx), g.astype(float) @ w.T)
    assert np.array_equal(integers(dw), x.T.astype(float) @ g)


@pytest.mark.slow
def test_probes_see_every_pass(rng):
    """Range policies get the voltages of each pass, on both paths."""
    x, w = operands(rng, 64, 100, 12, True)
    g = levels(rng, (64, 12))
    array, adc = ArraySpec(rows=128, input_bits=2), AdcSpec(polarity="bipolar", range_policy="per_site")
    seen = []
    for path in ("exact", "statistical"):
        hw = hardware(array=array, adc=adc, noise=NoiseSpec(sigma_array_lsb=1.0), path=path)
        hw = hw.replace(mapping=MappingSpec(gradient="bit_serial"))
        site = a_site(64, 100, 12, hw, True)
        state = site.init_state()
        *_, telemetry = run(site, x, w, g, state)
        new, _ = site.update(state, telemetry)
        seen.append(np.asarray(new.needed_range["forward"]))
    assert seen[0].shape == (3,)
    # The pass of c = 1 sees smaller codes than the others, so it needs less.
    assert seen[0].max() > 1.2 * seen[0].min()
    np.testing.assert_allclose(seen[1], seen[0], rtol=0.1)


def test_noise_aware_clips_count_all_passes():
    """Two passes with c = 1 on 8 levels have half the noise of one on 16: clips are lowered less."""
    clips = {}
    for bits in (5, 4):
        noise = NoiseSpec(sigma_array_lsb=0.5)
        formats = FormatSpec(weight_clip="sawb", activation_clip="rms", noise_aware=True)
        array = ArraySpec(rows=64, input_bits=bits)
        site = a_site(32, 64, 8, hardware(array=array, noise=noise, formats=formats), True)
        plan = site.mvms[0]
        lowered = clip_lowering(plan, site.spec.lhs, site.spec.rhs, jnp.ones(plan.passes))
        clips[bits] = [float(factor) for factor in lowered]
    assert all(0.2 < five < four < 1 for five, four in zip(clips[5], clips[4], strict=True))
