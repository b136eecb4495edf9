"""The virtual chip follows the formula of the array, marks what it draws, and is recovered from its measurements."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from calibration_tools import FULL_SCALE
from tiers import slow

from imctrain.calibration import Calibration, load_calibration
from imctrain.calibration.calibrate import Request, calibrate_file
from imctrain.calibration.reading.conversions import Conversions
from imctrain.calibration.schema import Array, Column, Dependence, Estimate, Inl, Noise, SignedEstimate, Spread
from imctrain.calibration.virtual_chip import SamplePlan, VirtualChip, write_samples
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.columns import macro_errors
from imctrain.settings import ImcConfig

pytestmark = pytest.mark.as_users


def exactly(value):
    return Estimate(value=value, low=value, high=value)


def known(columns=16, array=0.4, adc=0.3, seed=0, inl=True, **changes):
    """A calibration that lists all columns of a small array."""
    rng = np.random.default_rng(seed)
    v = np.linspace(-1, 1, 17)
    bent = Inl(v=tuple(v), lsb=tuple(0.4 * np.sin(np.pi * v) - 0.3 * (1 - v**2))) if inl else Inl()
    fields = {
        "name": "known",
        "provenance": "assumed",
        "array": Array(columns=columns),
        "noise": Noise(
            sigma_lsb=exactly(float(np.hypot(array, adc))), sigma_array_lsb=exactly(array), sigma_adc_lsb=exactly(adc)
        ),
        "columns": tuple(
            Column(column=k, gain=1 + 0.01 * rng.standard_normal(), offset_lsb=0.7 * rng.standard_normal())
            for k in range(columns)
        ),
        "inl": bent,
    }
    return Calibration(**(fields | changes))


def drawn(chip, **plan):
    return pl.concat(list(chip.frames(SamplePlan(**plan))))


def test_without_noise_codes_are_the_formula():
    c = known(array=0.0, adc=0.0)
    table = drawn(VirtualChip(c), conversions=20_000, ranges=(1.0, 0.25))
    for row in table.sample(500, seed=1).iter_rows(named=True):
        column = c.columns[row["column"]]
        v = round(row["ideal"] * FULL_SCALE) / FULL_SCALE
        volts = column.gain * (128 * v + np.interp(v, c.inl.v, c.inl.lsb)) + column.offset_lsb
        expected = np.clip(volts / row["range"], -128, 127)
        assert abs(expected - row["code"]) <= 0.5 + 1e-9
    assert table["range"].unique().sort().to_list() == [0.25, 1.0]
    # Inputs fill each range and no more.
    assert table.filter(pl.col("range") == 0.25)["ideal"].abs().max() == pytest.approx(0.25, abs=1e-3)


def test_noise_before_the_range_grows_with_a_smaller_range_and_the_converters_does_not():
    chip = VirtualChip(known(array=0.4, adc=0.3, columns=1, inl=False))
    gain, offset, _ = chip.columns_of(0)
    table = drawn(chip, conversions=200_000, ranges=(1.0, 0.125))
    for reference in (1.0, 0.125):
        part = table.filter((pl.col("range") == reference) & (pl.col("code").abs() < 115))
        mean = (gain[0] * 128 * part["ideal"] + offset[0]) / reference
        variance = (part["code"] - mean).var()
        assert variance == pytest.approx((0.4 / reference) ** 2 + 0.3**2 + 1 / 12, rel=0.02)


def test_columns_are_those_of_the_simulators_floor_plan():
    """The same calibration and seed give the same macro in the simulator and on the virtual chip."""
    listed = tuple(Column(column=k, gain=0.9 + 0.01 * k, offset_lsb=-0.5 + 0.2 * k) for k in range(3))
    c = known(columns=32, spread=Spread(gain_std=0.02, offset_std_lsb=0.9)).model_copy(update={"columns": listed})
    hardware = build_hardware(ImcConfig(chip_seed=5), c)
    assert (hardware.chip.gain_mean, hardware.chip.offset_mean_lsb) == pytest.approx((0.91, -0.3))
    gain, offset, _ = VirtualChip(c, 5).columns_of(0)
    expected = macro_errors(0, hardware)
    np.testing.assert_allclose(gain, expected[0])
    np.testing.assert_allclose(offset, expected[1])
    # Columns that are not listed are drawn around the mean of those that are.
    assert gain[3:].mean() == pytest.approx(0.91, abs=4 * 0.02 / np.sqrt(29))
    assert offset[3:].mean() == pytest.approx(-0.3, abs=4 * 0.9 / np.sqrt(29))


def test_a_column_with_noise_of_its_own_keeps_it():
    columns = (Column(column=0, sigma_lsb=2.0), Column(column=1))
    chip = VirtualChip(known(columns=2, array=0.5, adc=0.0).model_copy(update={"columns": columns}))
    assert chip.columns_of(0)[2].tolist() == [4.0, 1.0]


def test_the_same_seed_draws_the_same_and_another_does_not():
    c = load_calibration("vlsi21-28nm-assumed")
    a, b, other = (drawn(VirtualChip(c, seed), conversions=1000) for seed in (1, 1, 2))
    assert a.equals(b)
    assert not a.equals(other)


@pytest.mark.parametrize("name", [slow("m.csv"), slow("m.csv.gz"), "m.parquet"])
def test_what_it_draws_is_marked_and_never_becomes_measured(tmp_path, name):
    path = tmp_path / name
    chip = VirtualChip(known(), 3)
    write_samples(chip, SamplePlan(conversions=20_000), path)
    calibration, _ = calibrate_file(path, chip.setup, Request("again"))
    assert calibration.provenance == "assumed"
    assert calibration.source is None
    assert "virtual chip, calibration known (assumed), seed 3" in calibration.notes
    assert "Not a measurement" in calibration.notes
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_the_mark_survives_another_tool(tmp_path):
    """A table that was read and written elsewhere loses its comment, not its column."""
    path = tmp_path / "m.csv"
    chip = VirtualChip(known())
    write_samples(chip, SamplePlan(conversions=5_000), path)
    again = tmp_path / "again.csv"
    pl.read_csv(path, comment_prefix="#").write_csv(again)
    conversions = Conversions(again, chip.setup)
    list(conversions.batches())
    assert conversions.facts.simulated is not None


def test_dot_and_ideal_are_the_same_measurement(tmp_path):
    chip = VirtualChip(known())
    ideal, dot = (drawn(chip, conversions=5_000, entrance=entrance) for entrance in ("ideal", "dot"))
    assert dot["code"].equals(ideal["code"])
    np.testing.assert_allclose(dot["dot"] / FULL_SCALE, ideal["ideal"], atol=1e-7)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ({"columns": 17}, "--columns 17 is not possible: the array of known has 16"),
        ({"temperatures": (25.0,)}, "--temperature: known does not say what depends on it"),
        ({"supplies": (0.9,)}, "--supply: known does not say"),
    ],
)
def test_what_the_calibration_cannot_tell_is_refused(tmp_path, plan, says):
    path = tmp_path / "m.csv"
    with pytest.raises(UserError) as error:
        write_samples(VirtualChip(known()), SamplePlan(**plan), path)
    assert says in str(error.value)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match=r"give a name that ends in \.csv, \.csv\.gz, \.parquet"):
        write_samples(VirtualChip(known()), SamplePlan(), tmp_path / "m.txt")
    with pytest.raises(UserError, match="--conversions 0 is not possible"):
        SamplePlan(conversions=0)


def closed_loop(tmp_path, c, conversions, seed=1, **plan):
    chip = VirtualChip(c, seed)
    path = tmp_path / "m.parquet"
    write_samples(chip, SamplePlan(conversions=conversions, **plan), path)
    found, _ = calibrate_file(path, chip.setup, Request("again"))
    return found, chip


@pytest.mark.slow
def test_closed_loop_recovers_every_parameter(tmp_path):
    def signed(x):
        return SignedEstimate(value=x, low=x, high=x)

    warm = Dependence(
        reference=40.0,
        lowest=0.0,
        highest=85.0,
        gain_per_unit=signed(1e-4),
        offset_lsb_per_unit=signed(0.01),
        sigma_per_unit=signed(0.003),
    )
    c = known(array=0.5, adc=0.35, temperature=warm)
    found, chip = closed_loop(tmp_path, c, 300_000, ranges=(1.0, 0.25), temperatures=(0.0, 40.0, 80.0))
    gain, offset, _ = chip.columns_of(0)
    assert found.noise.sigma_array_lsb.value == pytest.approx(0.5, rel=0.03)
    assert found.noise.sigma_adc_lsb.value == pytest.approx(0.35, rel=0.05)
    assert np.abs([x.gain for x in found.columns] - gain).max() < 1e-3
    assert np.abs([x.offset_lsb for x in found.columns] - offset).max() < 0.05
    v = np.array(found.inl.v)
    assert np.abs(found.inl.lsb - np.interp(v, c.inl.v, c.inl.lsb)).max() < 0.05
    assert found.temperature.gain_per_unit.value == pytest.approx(1e-4, rel=0.1)
    assert found.temperature.offset_lsb_per_unit.value == pytest.approx(0.01, rel=0.1)
    assert found.temperature.sigma_per_unit.value == pytest.approx(0.003, rel=0.1)


@pytest.mark.slow
def test_dies_of_the_virtual_chip_spread_as_it_says(tmp_path):
    c = load_calibration("vlsi21-28nm-assumed")
    found, _ = closed_loop(tmp_path, c, 300_000, dies=3, columns=64)
    assert len(found.dies) == 3
    assert found.spread.gain_std == pytest.approx(0.01, rel=0.15)
    assert found.spread.offset_std_lsb == pytest.approx(0.7, rel=0.15)


def standard_errors(sigma, rows):
    """Of a column's gain and offset, at best: a line through `rows` conversions over the whole range, rounded."""
    deviation = np.hypot(sigma, np.sqrt(1 / 12)) if sigma > 0.3 else sigma + 0.2
    return deviation / (128 / np.sqrt(3)) / np.sqrt(rows), deviation / np.sqrt(rows)


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.15, 0.25, 0.5, 1.0, 2.0, 3.0])
def test_two_million_rows_recover_a_known_chip(tmp_path, sigma):
    """Of 256 columns. At 2 and 3 LSB the farthest of them is as far off as 7800 conversions a column let it be."""
    c = known(columns=256, array=sigma, adc=0.0)
    found, chip = closed_loop(tmp_path, c, 2_000_000)
    gain, offset, _ = chip.columns_of(0)
    gain_error = np.array([x.gain for x in found.columns]) - gain
    offset_error = np.array([x.offset_lsb for x in found.columns]) - offset
    assert found.noise.sigma_lsb.value == pytest.approx(sigma, rel=0.01)
    assert np.sqrt(np.mean(gain_error**2)) < 1e-3
    assert np.sqrt(np.mean(offset_error**2)) < 0.05
    of_gain, of_offset = standard_errors(sigma, 2_000_000 / 256)
    assert np.abs(gain_error).max() < max(1e-3, 4.5 * of_gain)
    assert np.abs(offset_error).max() < max(0.05, 4.5 * of_offset)
    # What the file says of its own uncertainty is true.
    for truth, bounds in (
        (gain, [x.gain_ci for x in found.columns]),
        (offset, [x.offset_ci_lsb for x in found.columns]),
    ):
        low, high = np.array(bounds).T
        assert np.mean((low <= truth) & (truth <= high)) > 0.9


@pytest.mark.slow
def test_two_million_rows_at_two_ranges_tell_the_parts_of_the_noise_apart(tmp_path):
    c = known(columns=256, array=0.8, adc=0.6)
    found, chip = closed_loop(tmp_path, c, 2_000_000, ranges=(1.0, 0.25))
    gain, offset, _ = chip.columns_of(0)
    assert found.noise.sigma_array_lsb.value == pytest.approx(0.8, rel=0.01)
    assert found.noise.sigma_adc_lsb.value == pytest.approx(0.6, rel=0.02)
    assert np.abs([x.gain for x in found.columns] - gain).max() < 1e-3
    assert np.abs([x.offset_lsb for x in found.columns] - offset).max() < 0.05
    v = np.array(found.inl.v)
    assert np.abs(found.inl.lsb - np.interp(v, c.inl.v, c.inl.lsb)).max() < 0.04
