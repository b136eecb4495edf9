"""Floor plan: which physical columns each MVM of each site lands on, decided once and never redrawn.

The chip has `array.macros` macros of `array.columns` columns. MVM m of site i needs T row tiles of W columns each
(W = planes x outputs); every tile takes ceil(W / columns) whole macros, in turn, beginning at macro 3i + m. When all
macros are taken the plan wraps around: later tiles share macros with earlier ones in time, and so share their errors.

Macro 0 is the measured one: measured columns carry their measured gain and offset. All others are drawn from the
calibration's spread by `chip_seed`.
"""

from __future__ import annotations

import functools

import numpy as np

from imctrain.imc.hardware import MVMS, Hardware


@functools.cache
def macro_errors(macro: int, hardware: Hardware) -> tuple[np.ndarray, np.ndarray]:
    """gain and offset (LSB at R = 1 of the calibrated converter) of every column of one macro, float64 [columns]."""
    noise, columns = hardware.noise, hardware.array.columns
    rng = np.random.default_rng([hardware.chip_seed, macro])
    gain = 1.0 + noise.gain_std * rng.standard_normal(columns)
    offset = noise.offset_std_lsb * rng.standard_normal(columns)
    if macro == 0:
        for error in noise.columns:
            if error.column < columns:
                gain[error.column] = error.gain
                offset[error.column] = error.offset_lsb
    return gain, offset


def first_macro(site_index: int, mvm: str) -> int:
    """The macro on which an MVM's first tile begins, before wrapping."""
    return 3 * site_index + MVMS.index(mvm)


def column_errors(
    site_index: int, mvm: str, tiles: int, width: int, hardware: Hardware
) -> tuple[np.ndarray, np.ndarray] | None:
    """gain and offset (fraction of full scale) of each tile's columns, float32 [T, W]; None without mismatch."""
    if not hardware.noise.has_mismatch:
        return None
    array = hardware.array
    blocks = -(-width // array.columns)
    gains, offsets = [], []
    for tile in range(tiles):
        first = first_macro(site_index, mvm) + tile * blocks
        parts = [macro_errors((first + b) % array.macros, hardware) for b in range(blocks)]
        gains.append(np.concatenate([gain for gain, _ in parts])[:width])
        offsets.append(np.concatenate([offset for _, offset in parts])[:width])
    lsb = hardware.noise.reference_lsb
    return np.stack(gains).astype(np.float32), (np.stack(offsets) * lsb).astype(np.float32)
