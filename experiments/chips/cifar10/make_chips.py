"""Makes silicon.json and feasible.json: the chips of both claims with temperature, supply and dies that differ.

    python experiments/chips/cifar10/make_chips.py

Each is the shipped calibration of its claim. What is added is this project's assumption, and the file says so: slopes
against temperature and supply and a spread of dies. What of it is in LSB is a quarter at a quarter of the noise.
"""

from __future__ import annotations

from pathlib import Path

from imctrain.calibration import Calibration, load_calibration, save_calibration
from imctrain.calibration.schema import Dependence, DieSpread, SignedEstimate

NOTES = (
    "Added to the figures of {name}, all of it assumed: gain -20 ppm, offset {degree:g} LSB and noise 0.15 % a degree; "
    "gain +2 %, offset {volt:g} LSB and noise -50 % a volt; dies differ by 0.5 % in gain, {die:g} LSB in offset and "
    "{die_sigma:g} LSB in noise (standard deviations). Made by experiments/chips/cifar10/make_chips.py."
)
CHIPS = {"silicon": ("vlsi21-28nm-assumed", 1.0), "feasible": ("feasible-assumed", 0.25)}
"""Name: shipped calibration, and its noise in LSB, with which assumed offsets and spreads scale."""


def _exactly(value: float) -> SignedEstimate:
    return SignedEstimate(value=value, low=value, high=value)


def make(name: str, noise: float) -> Calibration:
    """The shipped calibration and what is assumed."""
    temperature = Dependence(
        reference=25.0,
        lowest=-40.0,
        highest=85.0,
        gain_per_unit=_exactly(-2e-5),
        offset_lsb_per_unit=_exactly(0.004 * noise),
        sigma_per_unit=_exactly(0.0015),
    )
    supply = Dependence(
        reference=0.8,
        lowest=0.72,
        highest=0.88,
        gain_per_unit=_exactly(0.02),
        offset_lsb_per_unit=_exactly(0.5 * noise),
        sigma_per_unit=_exactly(-0.5),
    )
    spread = DieSpread(gain_std=0.005, offset_std_lsb=0.3 * noise, sigma_std_lsb=0.05 * noise)
    notes = NOTES.format(name=name, degree=0.004 * noise, volt=0.5 * noise, die=0.3 * noise, die_sigma=0.05 * noise)
    shipped = load_calibration(name)
    return shipped.model_copy(
        update={
            "notes": f"{shipped.notes} {notes}",
            "temperature": temperature,
            "supply": supply,
            "die_spread": spread,
        }
    )


if __name__ == "__main__":
    for chip, (name, noise) in CHIPS.items():
        save_calibration(make(name, noise), Path(__file__).parent / f"{chip}.json")
