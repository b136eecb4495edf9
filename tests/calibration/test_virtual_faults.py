"""The virtual chip has the faults that it is given, and calibration finds them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tiers import slow

from imctrain.calibration import load_calibration
from imctrain.calibration.calibrate import Request, calibrate_file
from imctrain.calibration.schema import Dnl
from imctrain.calibration.virtual_chip import ConverterFaults, SamplePlan, VirtualChip, write_samples
from imctrain.errors import UserError


def fitted(folder, faults, **plan):
    chip = VirtualChip(load_calibration("jia2020-65nm-assumed"), 4, faults)
    path = folder / "m.parquet"
    write_samples(chip, SamplePlan(columns=16, **plan), path)
    return calibrate_file(path, chip.setup, Request("again", replicates=20))


@pytest.mark.parametrize(
    ("faults", "plan", "says"),
    [
        (ConverterFaults(stuck=(2, 0)), {}, "bit 2 of the codes is stuck at 0"),
        slow(ConverterFaults(swapped=(1, 4)), {}, "bits 1 and 4 of the codes are swapped"),
        slow(ConverterFaults(inverted=3), {}, "bit 3 of the codes is inverted"),
        (ConverterFaults(truncates=True), {"ranges": (1.0, 0.25)}, "the converter truncates (floor)"),
        slow(ConverterFaults(hysteresis_lsb=0.8), {"order": "sweeps", "sweeps": 8}, "hysteresis: codes are 0."),
        (ConverterFaults(offset_ramp_lsb=-1.0), {}, "drift within the measurement"),
        slow(
            ConverterFaults(slow_lsb=0.4, slow_passes=4), {"order": "passes", "repeats": 4}, "part of the noise is slow"
        ),
        slow(ConverterFaults(slow_lsb=0.6, slow_passes=4, slow_octaves=4), {"order": "passes"}, "(as 1/f)"),
        slow(ConverterFaults(common_lsb=0.4), {"order": "passes"}, "common to all columns of a pass"),
        (ConverterFaults(dnl=Dnl(first_code=-64, width=(1.6, 0.4) * 64)), {}, "codes are not equally wide (DNL)"),
    ],
)
def test_every_fault_is_found_again(tmp_path, faults, plan, says):
    found, _ = fitted(tmp_path, faults, conversions=32_000, **plan)
    assert any(says in note for note in found.fit.warnings)
    assert found.provenance == "assumed"


def test_codes_of_a_table_lie_between_its_thresholds():
    chip = VirtualChip(load_calibration("ideal"))
    dnl = Dnl(first_code=-3, start_lsb=0.25, width=(0.5, 0.0, 1.5))
    volts = np.array([-3.6, -3.4, -3.26, -3.24, -2.76, -2.74, -1.26, -1.24, -0.51, -0.49, 200.0])
    codes = ConverterFaults(dnl=dnl).convert(volts, chip.setup)
    assert codes.tolist() == [-4, -4, -4, -3, -3, -1, -1, 0, 0, 0, 127]


def test_a_chip_without_faults_draws_as_before():
    c = load_calibration("vlsi21-28nm-assumed")
    plan = SamplePlan(conversions=2_000)
    a, b = (pl.concat(list(VirtualChip(c, 1, faults).frames(plan))) for faults in (None, ConverterFaults()))
    assert a.equals(b)


def test_orders_are_what_they_say():
    chip = VirtualChip(load_calibration("ideal"))
    passes = pl.concat(list(chip.frames(SamplePlan(conversions=64, columns=8, order="passes", repeats=2))))
    assert passes["column"].to_list() == list(range(8)) * 8
    assert passes["repeat"].to_list() == ([0] * 8 + [1] * 8) * 4
    assert passes.group_by("ideal").len()["len"].to_list() == [16] * 4
    sweeps = pl.concat(list(chip.frames(SamplePlan(conversions=800, columns=8, order="sweeps", sweeps=2))))
    step = np.sign(np.diff(sweeps.filter(pl.col("column") == 3)["ideal"].to_numpy()))
    assert np.count_nonzero(np.diff(step[step != 0])) == 3
    with pytest.raises(UserError, match="order passes is not possible"):
        SamplePlan(order="passes", ranges=(1.0, 0.5))
