"""Makes example-three-dies.json: three dies at three temperatures, drawn from the virtual chip and calibrated.

    python calibration/make_example.py

Nothing in it was measured, and it says so: `assumed`, drawn by the virtual chip from vlsi21-28nm-assumed with slopes
against temperature and a spread of dies that are this project's assumption. The same version draws the same file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from imctrain.calibration import Calibration, load_calibration, save_calibration
from imctrain.calibration.calibrate import Request, calibrate_file
from imctrain.calibration.schema import Dependence, DieSpread, SignedEstimate
from imctrain.calibration.virtual_chip import SamplePlan, VirtualChip, write_samples

NAME = "example-three-dies"
TEMPERATURES = (-40.0, 25.0, 85.0)
CONVERSIONS, COLUMNS, SEED = 600_000, 64, 21
NOTES = (
    "An example of what a file with dies and temperatures holds; nothing in it was measured. Assumed for the draw, "
    "beside the figures of vlsi21-28nm-assumed: gain -20 ppm, offset 0.004 LSB and noise 0.15 % a degree; dies differ "
    "by 0.5 % in gain, 0.3 LSB in offset and 0.05 LSB in noise (standard deviations). Made by "
    "calibration/make_example.py."
)


def _exactly(value: float) -> SignedEstimate:
    return SignedEstimate(value=value, low=value, high=value)


def source() -> Calibration:
    """The chip that is drawn."""
    temperature = Dependence(
        reference=25.0,
        lowest=TEMPERATURES[0],
        highest=TEMPERATURES[-1],
        gain_per_unit=_exactly(-2e-5),
        offset_lsb_per_unit=_exactly(0.004),
        sigma_per_unit=_exactly(0.0015),
    )
    spread = DieSpread(gain_std=0.005, offset_std_lsb=0.3, sigma_std_lsb=0.05)
    return load_calibration("vlsi21-28nm-assumed").model_copy(update={"temperature": temperature, "die_spread": spread})


def make() -> Calibration:
    """Draw and calibrate."""
    chip = VirtualChip(source(), SEED)
    plan = SamplePlan(conversions=CONVERSIONS, columns=COLUMNS, dies=3, temperatures=TEMPERATURES, ranges=(1.0, 0.25))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{NAME}.parquet"
        write_samples(chip, plan, path)
        return calibrate_file(path, chip.setup, Request(NAME, NOTES))[0]


if __name__ == "__main__":
    save_calibration(make(), Path(__file__).parent / f"{NAME}.json")
