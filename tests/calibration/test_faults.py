"""Converters with faults are told by name, with a number; sound ones are not."""

from __future__ import annotations

import numpy as np
import pytest
from calibration_tools import Chip, calibrated
from faulty_chips import faulty, setup
from tiers import slow

from imctrain.calibration.faults.tridiagonal import Tridiagonal
from imctrain.calibration.judging.faults import faults_in_words
from imctrain.calibration.schema import Dnl
from imctrain.errors import UserError


def told(folder, bits=8, **fault):
    """(calibration, evidence, notes on faults) of a faulty converter."""
    found, evidence = calibrated(folder, faulty(bits=bits, **fault), setup(bits), replicates=20)
    notes = list(faults_in_words(evidence))
    assert tuple(notes) == found.fit.warnings[: len(notes)]
    return found, evidence, notes


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize(("bits", "bit"), [(8, 0), (8, 3), slow(8, 2), slow(12, 5), slow(12, 8)])
def test_a_stuck_bit_is_named(tmp_path, bits, bit, value):
    _, evidence, notes = told(tmp_path, bits, stuck=(bit, value))
    assert len(notes) == 1
    assert notes[0].startswith(
        f"bit {bit} of the codes is stuck at {value} in all columns: it is {1 - value} in 0 of 8000"
    )
    assert "half of the codes never occur" in notes[0]
    assert evidence.thresholds is None


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"stuck": (7, 1)}, "bit 7 of the codes is stuck at 1"),
        ({"stuck": (6, 0)}, "bit 6 of the codes is stuck at 0"),
        ({"inverted": 7}, "bit 7 of the codes is inverted"),
        ({"swapped": (6, 7)}, "bits 6 and 7 of the codes are swapped"),
    ],
)
def test_what_cannot_be_fitted_for_a_bit_is_refused_for_the_bit(tmp_path, fault, says):
    with pytest.raises(UserError) as error:
        told(tmp_path, **fault)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fault", "says"),
    [({"swapped": (0, 1)}, "bits 0 and 1"), ({"swapped": (3, 5)}, "bits 3 and 5"), ({"inverted": 4}, "bit 4")],
)
def test_exchanged_bits_are_named(tmp_path, fault, says):
    _, _, notes = told(tmp_path, **fault)
    assert len(notes) == 1
    assert notes[0].startswith(says)


def test_a_stuck_bit_of_one_column_is_named_with_the_column(tmp_path):
    _, _, notes = told(tmp_path, stuck=(2, 1), only=3)
    assert len(notes) == 1
    assert "bit 2 of the codes is stuck at 1 in column 3" in notes[0]


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_widths_of_codes_are_recovered_and_taken_off_the_noise(tmp_path, sigma):
    widths = np.clip(1 + 0.3 * np.random.default_rng(3).standard_normal(256), 0, None)
    found, _, notes = told(tmp_path, rows=40_000, sigma=sigma, widths=widths)
    assert any(note.startswith("codes are not equally wide (DNL)") for note in notes)
    dnl = found.dnl
    first = dnl.first_code + 128
    # The input at which each threshold lies, from everything that the file says, against where it was put.
    gain, offset = (np.mean([getattr(column, name) for column in found.columns]) for name in ("gain", "offset_lsb"))
    u = np.linspace(-140, 140, 40_001)
    voltage = gain * (u + np.interp(u / 128, found.inl.v, found.inl.lsb)) + offset
    placed = np.interp(dnl.thresholds, voltage, u)
    truth = -127.5 + np.cumsum(widths)[first - 1 : first + len(dnl.width)] - widths[0]
    off = (placed - truth)[2:-2]
    assert np.std(off) < (0.12 if sigma < 1 else 0.15)
    assert np.std(widths) > 0.28
    assert found.noise.sigma_lsb.value == pytest.approx(sigma, rel=0.02)
    # Widths are those behind gain, offset and INL.
    true_width = np.diff(np.interp(truth, u, voltage))[8:-8]
    inside = (np.array(dnl.low)[8:-8] <= true_width) & (true_width <= np.array(dnl.high)[8:-8])
    assert np.mean(inside) > 0.85
    assert dnl.rounding_variance == pytest.approx((widths**3).sum() / (12 * widths.sum()), rel=0.1)


def test_a_missing_code_is_named_and_counted(tmp_path):
    widths = np.ones(256)
    widths[100], widths[101] = 0.0, 2.0
    _, evidence, notes = told(tmp_path, rows=20_000, widths=widths)
    assert notes[0].startswith("code -28 never or hardly ever occur")
    assert evidence.faults.thresholds.missing == (-28,)


@pytest.mark.parametrize(("bits", "bit", "error"), [(8, 3, 0.8), slow(8, 2, -0.6), slow(12, 9, 4.0)])
def test_a_bit_of_a_wrong_weight_is_named(tmp_path, bits, bit, error):
    found, evidence, notes = told(tmp_path, bits, rows=40_000, weights={bit: error})
    assert any("weights of bits are off" in note for note in notes)
    weights = evidence.faults.thresholds.bits
    assert [x.bit for x in weights] == [bit]
    assert weights[0].error * error > 0
    if abs(error) < 1:
        assert weights[0].error == pytest.approx(error, abs=0.1)
    assert found.noise.sigma_lsb.value == pytest.approx(0.5, rel=0.1)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"floor": True}, "the mean offset of columns is -0.5"),
        ({"floor": True, "ranges": (1.0, 0.25)}, "codes are -0.5"),
        slow({"floor": True, "bits": 12, "sigma": 1.0}, "the mean offset of columns is -0.5"),
    ],
)
def test_a_converter_that_truncates_is_told(tmp_path, fault, says):
    found, _, notes = told(tmp_path, **fault)
    assert len(notes) == 1
    assert notes[0].startswith(says)
    assert "truncates (floor)" in notes[0]
    if "ranges" not in fault:
        assert np.mean([column.offset_lsb for column in found.columns]) == pytest.approx(-0.5, abs=0.08)


def test_an_offset_of_other_size_is_no_truncation(tmp_path):
    table = faulty(seed=5).with_columns(code=faulty(seed=5)["code"] + 2)
    _, evidence = calibrated(tmp_path, table.filter(table["code"] < 128), setup(), replicates=20)
    assert evidence.faults.truncation is None


@pytest.mark.parametrize("height", [0.3, slow(1.0), 2.0])
@pytest.mark.parametrize(("order", "sweeps"), [("random", 1), ("sweeps", 8), ("sweeps", 1)])
def test_hysteresis_is_told_with_its_height(tmp_path, height, order, sweeps):
    _, evidence, notes = told(tmp_path, hysteresis=height, order=order, sweeps=sweeps)
    assert len(notes) == 1
    assert notes[0].startswith("hysteresis: codes are ")
    assert evidence.faults.order.hysteresis.value == pytest.approx(height, rel=0.12, abs=0.1)
    assert ("a jump in time would look the same" in notes[0]) == (sweeps == 1 and order == "sweeps")


@pytest.mark.parametrize("change", [0.3, slow(2.0), -4.0])
@pytest.mark.parametrize("order", ["random", "sweeps"])
def test_a_drift_is_told_with_its_size(tmp_path, change, order):
    _, evidence, notes = told(tmp_path, ramp=change, order=order)
    assert len(notes) == 1
    assert notes[0].startswith("drift within the measurement")
    assert evidence.faults.order.offset.value == pytest.approx(change, rel=0.05, abs=0.1)


def test_a_drift_of_the_gain_is_told(tmp_path):
    _, evidence, notes = told(tmp_path, gain_ramp=0.02)
    assert "gain +" in notes[0]
    assert evidence.faults.order.gain.value == pytest.approx(0.02, rel=0.1)


def test_one_sweep_cannot_tell_a_drift_and_says_so(tmp_path):
    found, _, notes = told(tmp_path, ramp=4.0, order="once")
    assert len(notes) == 1
    assert "a drift within the measurement would look like gain or offset" in notes[0]
    assert found.noise.sigma_slow_lsb is None


@pytest.mark.parametrize(("slow_part", "common"), [(0.5, 0.4), (0.0, 0.0), slow(0.4, 0.0), slow(0.0, 0.4)])
def test_noise_that_repeats_or_columns_share_is_estimated(tmp_path, slow_part, common):
    fault = {"slow": slow_part, "hold": 4, "repeats": 4, "common": common, "order": "passes", "columns": 16}
    found, _, notes = told(tmp_path, rows=40_000, **fault)
    for estimate, truth in ((found.noise.sigma_slow_lsb, slow_part), (found.noise.sigma_common_lsb, common)):
        assert estimate.value == pytest.approx(truth, abs=0.04)
        assert estimate.low - 0.02 <= truth <= estimate.high + 0.02
    assert found.noise.sigma_lsb.value == pytest.approx(np.sqrt(0.25 + slow_part**2 + common**2), rel=0.05)
    assert len(notes) == (slow_part > 0) + (common > 0)


def test_times_order_rows_and_name_passes(tmp_path):
    """Rows that were sorted by column afterwards are put back in order by `time_s`."""
    table = faulty(rows=8000, ramp=2.0, order="sweeps")
    table = table.with_columns(time_s=np.arange(8000) * 1e-3).sort("column", maintain_order=True)
    _, evidence = calibrated(tmp_path, table, setup(), replicates=20)
    assert evidence.faults.order.offset.value == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("seed", range(6))
def test_sound_converters_are_not_accused(tmp_path, seed):
    """Of other sizes, orders and noise each; 260 of them were tried: docs/calibration.md has the count."""
    bits, columns, sigma = [(8, 8, 0.5), (12, 4, 1.0), (6, 16, 0.3), (8, 32, 2.0), (10, 8, 0.15), (8, 4, 0.5)][seed]
    chip = Chip(bits=bits, columns=columns, array=sigma, inl=0.3, curves=0.2 * (seed == 5), seed=seed)
    table = chip.measure(20_000, levels=257 if seed in (1, 5) else None)
    if seed == 3:
        table = table.with_columns(half=np.arange(20_000) // 5_000).sort("half", "column").drop("half")
    found, evidence = calibrated(tmp_path, table, chip.setup, replicates=20)
    assert list(faults_in_words(evidence)) == []
    assert found.dnl is None


def test_heavy_tails_and_bad_rows_are_no_fault_of_the_converter(tmp_path):
    chip = Chip(columns=8, array=0.4, tails=4)
    _, evidence = calibrated(tmp_path, chip.measure(20_000, bad=0.01), chip.setup, replicates=20)
    assert list(faults_in_words(evidence)) == []


def test_the_bands_of_an_inverse_and_its_determinant():
    rng = np.random.default_rng(0)
    matrix = Tridiagonal(3 + rng.random(9), rng.standard_normal(8))
    full = np.diag(matrix.diagonal) + np.diag(matrix.beside, 1) + np.diag(matrix.beside, -1)
    inverse = np.linalg.inv(full)
    bands = matrix.inverse_bands()
    np.testing.assert_allclose(bands.diagonal, np.diag(inverse))
    np.testing.assert_allclose(bands.beside, np.diag(inverse, 1))
    assert matrix.log_determinant() == pytest.approx(np.linalg.slogdet(full)[1])
    x = rng.standard_normal((9, 2))
    np.testing.assert_allclose(matrix @ x, full @ x)
    np.testing.assert_allclose(matrix.solve(x), inverse @ x)


def test_the_table_of_widths_says_where_thresholds_are():
    dnl = Dnl(first_code=-2, start_lsb=0.25, width=(0.5, 0.0, 1.5))
    assert dnl.thresholds == (-2.25, -1.75, -1.75, -0.25)
    assert dnl.rounding_variance == pytest.approx((0.5**3 + 1.5**3) / 24)
    assert Dnl(first_code=0, width=(1.0,) * 5).rounding_variance == pytest.approx(1 / 12)
    with pytest.raises(ValueError, match="low has 1 values"):
        Dnl(first_code=0, width=(1.0, 1.0), low=(1.0,))
    with pytest.raises(ValueError, match="lists no code"):
        Dnl(first_code=0, width=())
