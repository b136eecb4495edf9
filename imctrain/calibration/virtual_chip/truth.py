"""The figures that a virtual chip really has, as a calibration: what a fit to its conversions should find.

All columns of the calibrated die are listed, of every other die the means and standard deviations of its columns. No
figure was measured: none has counts, and intervals have no width.
"""

from __future__ import annotations

import numpy as np

from imctrain.calibration.arrays import Floats
from imctrain.calibration.schema import Calibration, Column, Die, DieSpread, Estimate, Fit
from imctrain.calibration.virtual_chip.chip import VirtualChip

NOTE = "What the virtual chip that was drawn from it with seed {seed} really has, not a measurement. "


def truth_of(chip: VirtualChip, dies: int = 1) -> Calibration:
    """Of so many dies, at the reference condition; the first is the calibrated one."""
    c = chip.calibration
    sigma = c.noise.sigma_lsb.value
    gain, offset, noise = chip.columns_of(0)
    columns = tuple(
        Column(column=k, gain=gain[k], offset_lsb=offset[k], sigma_lsb=sigma * noise[k] if gain[k] > 0 else 0.0)
        for k in range(c.array.columns)
    )
    dead = tuple(int(k) for k in np.flatnonzero(gain <= 0))
    return c.model_copy(
        update={
            "name": f"{c.name}-drawn",
            "provenance": "assumed",
            "notes": NOTE.format(seed=chip.seed) + c.notes,
            "source": None,
            "columns": columns,
            "fit": Fit(dead_columns=dead),
            "ranges": None,
            "dies": tuple(_die(f"d{number}", chip.columns_of(number), sigma) for number in range(dies))
            if dies > 1
            else None,
            "die_spread": _known_exactly(c.die_spread) if dies > 1 else c.die_spread,
        }
    )


def _die(name: str, figures: tuple[Floats, Floats, Floats], sigma_lsb: float) -> Die:
    """Over the columns that live."""
    living = figures[0] > 0
    gain, offset, noise = (part[living] for part in figures)
    sigma = float(sigma_lsb * np.sqrt(np.mean(noise**2)))
    return Die(
        die=name,
        columns=int(living.sum()),
        n=0,
        gain_mean=float(gain.mean()),
        gain_std=float(gain.std(ddof=1)),
        offset_mean_lsb=float(offset.mean()),
        offset_std_lsb=float(offset.std(ddof=1)),
        sigma_lsb=Estimate(value=sigma, low=sigma, high=sigma),
    )


def _known_exactly(spread: DieSpread | None) -> DieSpread | None:
    if spread is None:
        return None
    return spread.model_copy(
        update={
            "gain_std_ci": (spread.gain_std,) * 2,
            "offset_std_ci_lsb": (spread.offset_std_lsb,) * 2,
            "sigma_std_ci_lsb": (spread.sigma_std_lsb,) * 2,
        }
    )
