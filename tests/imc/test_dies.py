"""Dies and conditions: what the calibration measured of them is what is simulated, as data of one program."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import array_matmul, even_tiles
from imc_sites import IDENTITY, dot_site, integer_operands, levels, run
from real_chips import COLUMNS, SUPPLY, TEMPERATURE, chip
from tiers import slow

import imctrain
from imctrain.calibration import save_calibration
from imctrain.calibration.variation import change, die_figures, listed_die
from imctrain.calibration.virtual_chip import VirtualChip
from imctrain.errors import HardwareWarning, UserError
from imctrain.imc.chip.columns import macro_corrections, macro_errors, macro_noise
from imctrain.settings import AdcSpec, ArraySpec, ConditionsConfig, Hardware, NoiseSpec
from imctrain.settings.die import DieConfig
from imctrain.settings.site import SiteSettings


def hardware(
    calibration=None,
    die=None,
    path="exact",
    temperature_c=None,
    supply_v=None,
    extrapolate=False,
    die_spread="value",
    **settings,
):
    conditions = ConditionsConfig(temperature_c=temperature_c, supply_v=supply_v, extrapolate=extrapolate)
    settings = {"array": ArraySpec(macros=4), "adc": AdcSpec(range_policy="fixed")} | settings
    return Hardware.filled_from(
        SiteSettings(**settings), calibration or chip(), path, DieConfig(die=die, die_spread=die_spread), conditions
    )


def test_without_die_and_condition_nothing_changes():
    plain = Hardware.filled_from(
        SiteSettings(array=ArraySpec(macros=4), adc=AdcSpec(range_policy="fixed")), chip(), "exact"
    )
    assert plain == hardware()
    c = chip()
    # The calibrated die has its columns on macro 0; others are drawn as ever, with the seed and the macro alone.
    np.testing.assert_allclose(macro_errors(0, plain)[0], [x.gain for x in c.columns])
    rng = np.random.default_rng([0, 2])
    gain = np.mean([x.gain for x in c.columns]) + 0.02 * rng.standard_normal(COLUMNS)
    np.testing.assert_allclose(macro_errors(2, plain)[0], gain)


def test_a_die_by_name_has_its_measured_figures():
    a, b = hardware(die="A").chip, hardware(die="B").chip
    assert listed_die(chip()) == "A"
    assert len(a.columns) == COLUMNS
    assert not b.columns
    assert (b.gain_mean, b.gain_std, b.offset_mean_lsb, b.offset_std_lsb) == (1.02, 0.02, -0.8, 0.4)
    for figures, sigma in ((a, 0.6), (b, 0.8)):
        assert np.hypot(figures.sigma_array_lsb, figures.sigma_adc_lsb) == pytest.approx(sigma)
        assert figures.sigma_array_lsb / figures.sigma_adc_lsb == pytest.approx(0.5 / 0.4)
    assert not np.allclose(macro_errors(1, hardware(die="B"))[0] - 1.02, macro_errors(1, hardware())[0] - a.gain_mean)


def test_dies_by_number_spread_as_the_calibration_says():
    """400 of them around the mean of the dies: a standard deviation is known to 3.5 %, a mean to a twentieth of it."""
    drawn = [hardware(die=number).chip for number in range(1, 401)]
    for found, mean, std in (
        ([x.gain_mean for x in drawn], np.mean([d.gain_mean for d in chip().dies]), 0.03),
        ([x.offset_mean_lsb for x in drawn], np.mean([d.offset_mean_lsb for d in chip().dies]), 0.6),
        ([np.hypot(x.sigma_array_lsb, x.sigma_adc_lsb) for x in drawn], np.hypot(0.5, 0.4), 0.1),
    ):
        assert np.mean(found) == pytest.approx(mean, abs=4 * std / 20)
        assert np.std(found, ddof=1) == pytest.approx(std, rel=4 * 0.035)
    assert {x.gain_std for x in drawn} == {0.02}
    assert not any(x.columns for x in drawn)


def test_a_die_by_number_is_the_same_whatever_draws_its_columns():
    first, other, next_die = hardware(die=7), hardware(die=7, chip_seed=1), hardware(die=8)
    assert first.chip == other.chip
    draws = [(macro_errors(1, hw)[0] - hw.chip.gain_mean) / hw.chip.gain_std for hw in (first, other, next_die)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(draws[a], draws[b])[0, 1]) < 5 / np.sqrt(COLUMNS)
    readings = AdcSpec(range_policy="fixed", offset_conversions=4)
    left = [
        macro_corrections(1, hw) - macro_errors(1, hw)[1]
        for hw in (hardware(die=die, adc=readings) for die in (None, 7, 8))
    ]
    assert abs(np.corrcoef(left[1], left[2])[0, 1]) < 5 / np.sqrt(COLUMNS)
    assert abs(np.corrcoef(left[0], left[1])[0, 1]) < 5 / np.sqrt(COLUMNS)


@pytest.mark.parametrize("die", [None, 1, 2])
@pytest.mark.parametrize(("temperature_c", "supply_v"), [(None, None), (85.0, None), (-40.0, 0.72)])
def test_the_virtual_chip_has_the_same_die_at_the_same_condition(die, temperature_c, supply_v):
    c = chip()
    hw = hardware(c, die, temperature_c=temperature_c, supply_v=supply_v, chip_seed=3)
    gain, offset, noise = VirtualChip(c, 3).columns_of(die or 0)
    for at, known in ((temperature_c, c.temperature), (supply_v, c.supply)):
        if at is not None:
            by = change(known, at)
            gain, offset, noise = gain * by.gain, offset + by.offset_lsb, noise * by.noise
    found = macro_errors(0, hw)
    np.testing.assert_allclose(found[0], gain)
    np.testing.assert_allclose(found[1], offset)
    np.testing.assert_allclose(hw.chip.sigma_array_lsb * macro_noise(0, hw), 0.5 * noise)
    np.testing.assert_allclose(hw.chip.sigma_adc_lsb * macro_noise(0, hw), 0.4 * noise)


def test_conversions_at_a_condition_match_the_reference(rng):
    """Gain and offset as the slopes say, in every code; formulas written out here."""
    m, k, n = 8, 30, 8
    x, w = integer_operands(rng, (m, k), (k, n))
    c, t, u = chip(), 85.0 - 25.0, 0.72 - 0.8
    gain = np.array([x.gain for x in c.columns]) * (1 - 4e-4 * t) * (1 + 0.5 * u)
    offset = np.array([x.offset_lsb for x in c.columns]) + 0.02 * t - 3.0 * u
    hw = hardware(
        c, temperature_c=85.0, supply_v=0.72, formats=IDENTITY, noise=NoiseSpec(scale=0.0),
        array=ArraySpec(rows=32, macros=1, replicate=False), adc=AdcSpec(bits=12, range_policy="fixed"),
    )  # fmt: skip
    y, *_ = run(dot_site(m, k, n, hw), x, w, levels(rng, (m, n)))
    expected, _ = array_matmul(
        x, w, tiles=even_tiles(k, 32), rows=32, bits=12, gain=gain.reshape(1, 4, n),
        offset=offset.reshape(1, 4, n) * 2 / 2**8,
    )  # fmt: skip
    # float32 may fall on the other side of a rounding tie: allow one code of the heaviest plane, on few outputs.
    assert np.max(np.abs(y - expected)) <= 1.01 * 8 * 2 / 2**12 * 32 * 16
    assert np.mean(np.abs(y - expected) > 1e-3) < 0.05


@pytest.mark.parametrize("temperature_c", [-40.0, 25.0, 85.0])
def test_noise_follows_the_slope(temperature_c):
    hw = hardware(temperature_c=temperature_c, supply_v=0.88)
    by = np.exp(0.003 * (temperature_c - 25) - 2.0 * 0.08)
    assert hw.total_lsb == pytest.approx(np.hypot(0.5, 0.4) * by)


@pytest.mark.parametrize("path", ["exact", slow("statistical")])
def test_dies_and_temperatures_in_one_vmap_are_single_calls(path):
    """8 dies at 3 temperatures, one compilation."""
    w, x = jax.random.normal(jax.random.key(0), (64, 16)), jax.random.normal(jax.random.key(1), (8, 64))
    key, settings = jax.random.key(5), {"path": path, "noise": NoiseSpec(scale=4.0)}
    f = imctrain.on_imc(lambda w, x: x @ w, hardware(**settings))
    chips = [
        f.chip(w, x, hardware=hardware(die=die, temperature_c=at, **settings))
        for die in range(1, 9)
        for at in (-40.0, 25.0, 85.0)
    ]
    single = jax.jit(lambda chip: f(w, x, key=key, chip=chip))
    each = np.stack([single(chip) for chip in chips])
    assert single._cache_size() == 1
    many = jax.jit(jax.vmap(lambda chip: f(w, x, key=key, chip=chip)))
    together = many(jax.tree.map(lambda *parts: jnp.stack(parts), *chips))
    assert many._cache_size() == 1
    np.testing.assert_allclose(together, each, rtol=1e-5, atol=1e-5 * np.abs(each).max())
    assert len({np.round(out, 3).tobytes() for out in each}) == 24


def test_the_reference_condition_has_the_structure_of_others():
    """A calibration of nominal columns differs from nominal ones at other conditions only."""
    c = chip(columns=(), dies=None, die_spread=None, noise=chip().noise).model_copy(
        update={"spread": type(chip().spread)()}
    )
    f = imctrain.on_imc(lambda w, x: x @ w, hardware(c, temperature_c=25.0))
    w, x = jnp.ones((8, 4)), jnp.ones((2, 8))
    warm = f.chip(w, x, hardware=hardware(c, temperature_c=85.0))["dot"]
    np.testing.assert_allclose(warm.gain, 1 - 4e-4 * 60, rtol=1e-6)
    assert not hardware(c).has_mismatch


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"die": "C"},
            "chip.die = 'C' is no die of calibration measured-in-part: measured are A, B; a number draws one",
        ),
        (
            {"temperature_c": 90.0},
            "conditions.temperature_c = 90 is not possible: measured is -40 to 85; conditions.extra",
        ),
        ({"supply_v": 0.7}, "conditions.supply_v = 0.7 is not possible: measured is 0.72 to 0.88"),
        ({"supply_v": 0.1, "extrapolate": True, "temperature_c": 85.0}, None),
        (
            {"temperature_c": ((0, 25.0), (3, 85.0))},
            "conditions.temperature_c = .* is a schedule: a hardware has one value",
        ),
    ],
)
def test_what_was_not_measured_is_told_in_one_line(asked, says):
    if says is None:
        assert hardware(**asked).chip.gain_mean > 0
        return
    with pytest.raises(UserError, match=says) as error:
        hardware(**asked)
    assert "\n" not in str(error.value)


def test_a_calibration_without_slopes_refuses_a_condition():
    for key, value in (("temperature_c", 25.0), ("supply_v", 0.8)):
        with pytest.raises(UserError, match=rf"conditions.{key} = .* the calibration does not say what depends on"):
            hardware(chip(temperature=None, supply=None), **{key: value})


def test_a_number_without_die_spread_draws_columns_and_says_so(tmp_path):
    c = chip(dies=None, die_spread=None)
    save_calibration(c, tmp_path / "one.json")
    with pytest.warns(HardwareWarning, match="die = 3: calibration measured-in-part has no die_spread"):
        found = Hardware.from_calibration(tmp_path / "one.json", die=3)
    plain = Hardware.from_calibration(tmp_path / "one.json")
    assert (found.chip.gain_mean, found.chip.offset_mean_lsb) == (plain.chip.gain_mean, plain.chip.offset_mean_lsb)
    assert not np.array_equal(macro_errors(2, found)[0], macro_errors(2, plain)[0])
    save_calibration(chip(), tmp_path / "several.json")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Hardware.from_calibration(tmp_path / "several.json", die=3, conditions=ConditionsConfig(temperature_c=60.0))


def test_slopes_of_the_helper_are_those_of_the_schema():
    """gain (1 + x g), offset + x o, sigma exp(x s) at both ends."""
    for known, at in ((TEMPERATURE, -40.0), (TEMPERATURE, 85.0), (SUPPLY, 0.72)):
        x, by = at - known.reference, change(known, at)
        assert by.gain == pytest.approx(1 + x * known.gain_per_unit.value)
        assert by.offset_lsb == pytest.approx(x * known.offset_lsb_per_unit.value)
        assert by.noise == pytest.approx(np.exp(x * known.sigma_per_unit.value))
    assert die_figures(chip(), 5).population == die_figures(chip(), 5).population
