"""The mean of a chip's columns is the chip's: unmeasured columns are drawn around it, wherever they are drawn."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from calibration_tools import Chip, calibrated
from imc_sites import dot_site, hardware, integer_operands, run
from tiers import slow

from imctrain.calibration import Calibration, load_calibration, parse_calibration, shipped_names
from imctrain.calibration.schema.typical import column_mean, die_mean
from imctrain.calibration.summary.figures import figures
from imctrain.calibration.virtual_chip import SamplePlan, VirtualChip
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.columns import column_errors, macro_errors
from imctrain.settings import ArraySpec, ChipSpec, Hardware, ImcConfig, NoiseSpec

GAIN, OFFSET = 0.92, -0.5


def listing(columns, **changes) -> Calibration:
    """A calibration that lists columns as (gain, offset)."""
    sigma = {"value": 0.5, "low": 0.5, "high": 0.5}
    listed = [{"column": k, "gain": g, "offset_lsb": o} for k, (g, o) in enumerate(columns)]
    base = {"schema_version": "1.0", "name": "x", "provenance": "assumed", "noise": {"sigma_lsb": sigma}}
    return parse_calibration(
        base | {"columns": listed, "spread": {"gain_std": 0.005, "offset_std_lsb": 0.2}} | changes, "x"
    )


@pytest.fixture(scope="module")
def floor_converter(tmp_path_factory) -> Calibration:
    """Calibrated: eight columns of gain 0.92 +- 0.005, read by a converter that rounds down, an offset of -0.5 LSB."""
    rng = np.random.default_rng(1)
    rows, columns = 40_000, 8
    column, v = rng.integers(0, columns, rows), rng.uniform(-1, 1, rows)
    gain = GAIN + 0.005 * rng.standard_normal(columns)
    code = np.floor(gain[column] * 128 * v + 0.5 * rng.standard_normal(rows))
    table = pl.DataFrame({"column": column, "ideal": v, "code": np.clip(code, -128, 127).astype(int)})
    return calibrated(tmp_path_factory.mktemp("mean"), table, Chip(columns=columns).setup)[0]


def test_a_measured_mean_is_on_every_macro(floor_converter):
    hw = build_hardware(ImcConfig(), floor_converter)
    measured = macro_errors(0, hw)
    assert measured[0].mean() == pytest.approx(GAIN, abs=0.005)
    for macro in range(1, hw.array.macros):
        gain, offset = macro_errors(macro, hw)
        # The mean of eight columns: of a spread of 0.5 %, and of offsets that hardly differ.
        assert gain.mean() == pytest.approx(measured[0].mean(), abs=4 * 0.006 / np.sqrt(8))
        assert offset.mean() == pytest.approx(OFFSET, abs=0.03)
        assert not np.array_equal(gain, measured[0])


def test_columns_of_the_measured_macro_that_were_not_measured_have_the_mean_too():
    hw = build_hardware(ImcConfig(), listing([(0.9, -1.0), (0.94, 0.0)]))
    gain, offset = macro_errors(0, hw)
    assert gain[:2].tolist() == [0.9, 0.94]
    assert gain[2:].mean() == pytest.approx(0.92, abs=4 * 0.005 / np.sqrt(254))
    assert offset[2:].mean() == pytest.approx(-0.5, abs=4 * 0.2 / np.sqrt(254))


def test_the_mean_is_plain_and_without_columns_that_are_set_apart():
    columns = [(0.9, -1.0), (0.94, 0.0), (0.0, 90.0), (2.0, 50.0)]
    fit = {"dead_columns": [2], "outlier_columns": [3]}
    c = listing(columns, fit=fit)
    assert column_mean(c) == pytest.approx((0.92, -0.5))
    # How often a column was read says nothing of the others.
    often = c.model_copy(update={"columns": tuple(x.model_copy(update={"n": 10**k}) for k, x in enumerate(c.columns))})
    assert column_mean(often) == column_mean(c)
    # A column of gain 0 is dead whether the file says so or not.
    assert column_mean(listing(columns[:3])) == pytest.approx((0.92, -0.5))
    found = {figure.label: figure.value for figure in figures(c)}
    assert found["gain, mean of columns"] == pytest.approx(0.92)
    assert found["offset, mean of columns"] == pytest.approx(-0.5)


def test_without_columns_a_chip_is_nominal_or_as_its_dies():
    assert column_mean(listing([])) == (1.0, 0.0)
    sigma = {"value": 0.5, "low": 0.5, "high": 0.5}
    means = ((0.9, -1.0), (0.94, 1.4))
    dies = [
        {
            "die": name,
            "columns": 8,
            "n": 9,
            "gain_mean": g,
            "gain_std": 0.0,
            "offset_mean_lsb": o,
            "offset_std_lsb": 0.0,
        }
        | {"sigma_lsb": sigma}
        for name, (g, o) in zip("AB", means, strict=True)
    ]
    c = listing([], dies=dies)
    assert die_mean(c) == column_mean(c) == pytest.approx((0.92, 0.2))
    # Columns are of one die: macros of that die have its mean, other dies are drawn around that of all.
    c = listing([(0.9, -1.0)] * 8, dies=dies)
    chip = VirtualChip(c)
    for die, mean in ((0, (0.9, -1.0)), (1, (0.92, 0.2))):
        gain, offset, _ = chip.columns_of(die)
        assert gain.mean() == pytest.approx(mean[0], abs=4 * 0.005 / 16)
        assert offset.mean() == pytest.approx(mean[1], abs=4 * 0.2 / 16)


@pytest.mark.slow
def test_a_chip_that_is_measured_in_part_is_found_again(tmp_path):
    """Sixteen columns listed of 64: the virtual chip draws the others around their mean, and the fit finds it there."""
    rng = np.random.default_rng(3)
    listed = [(GAIN + 0.005 * g, OFFSET + 0.2 * o) for g, o in rng.standard_normal((16, 2))]
    c = listing(listed, array={"columns": 64})
    chip = VirtualChip(c, 2)
    table = pl.concat(list(chip.frames(SamplePlan(conversions=120_000))))
    found, _ = calibrated(tmp_path, table.drop("range"), chip.setup)
    mean, others = column_mean(c), [column for column in found.columns if column.column >= 16]
    assert np.mean([x.gain for x in others]) == pytest.approx(mean.gain, abs=4 * 0.005 / np.sqrt(48))
    assert np.mean([x.offset_lsb for x in others]) == pytest.approx(mean.offset_lsb, abs=4 * 0.2 / np.sqrt(48))
    # The spread is about the mean, not about 1 and 0.
    assert found.spread.gain_std == pytest.approx(0.005, rel=0.3)
    assert found.spread.offset_std_lsb == pytest.approx(0.2, rel=0.3)


def test_a_mean_alone_is_a_mismatch():
    for chip in (ChipSpec(gain_mean=0.9), ChipSpec(offset_mean_lsb=1.0)):
        assert chip.has_mismatch
        assert column_errors(3, "forward", 1, 8, Hardware(chip=chip)) is not None
    assert not Hardware(chip=ChipSpec(gain_mean=0.9), noise=NoiseSpec(mismatch=False)).has_mismatch
    assert not ChipSpec().has_mismatch


@pytest.mark.parametrize("path", ["exact", slow("statistical")])
def test_a_product_comes_out_with_the_mean_gain(path):
    rng = np.random.default_rng(4)
    x, w = integer_operands(rng, (480, 144), (144, 24))
    chip = ChipSpec(sigma_array_lsb=0.6, gain_mean=0.9)
    hw = hardware(array=ArraySpec(replicate=True), chip=chip, path=path)
    out = run(dot_site(480, 144, 24, hw, index=5), x, w, np.zeros((480, 24), np.float32))[0]
    ideal = x @ w
    # Noise of half the signal in each of 11,520 outputs leaves the slope uncertain by 0.005.
    assert np.sum(out * ideal) / np.sum(ideal * ideal) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("name", [name for name in shipped_names() if name != "example-three-dies"])
def test_shipped_calibrations_list_no_columns_and_draw_as_before(name):
    c = load_calibration(name)
    hw = build_hardware(ImcConfig(chip_seed=3), c)
    rng = np.random.default_rng([3, 2])
    gain = 1.0 + c.spread.gain_std * rng.standard_normal(c.array.columns)
    offset = c.spread.offset_std_lsb * rng.standard_normal(c.array.columns)
    found = macro_errors(2, hw)
    np.testing.assert_array_equal(found[0], gain)
    np.testing.assert_array_equal(found[1], offset)
