"""calibrate -> run and the virtual chip agree: the simulator on a fitted calibration errs as the measured chip would.

A virtual chip of known columns is measured through files and the command line. A layer then runs on hardware that
`run` builds from the fitted calibration, and its outputs' errors are held against what the chip's own, true figures
say, from the probabilities of codes: nothing of the fit or of the simulator is in the prediction.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import dot_site, integer_operands
from run_tools import call
from scipy.special import ndtr

from imctrain.calibration import Calibration, load_calibration, save_calibration
from imctrain.calibration.schema import Array, Column, Estimate, Inl, Noise, Spread
from imctrain.experiment.from_config import build_hardware
from imctrain.settings import ImcConfig

ROWS, LEVELS, COLUMNS = 1152, 16, 256
CONTRACTION, OUTPUTS = 144, 32
PLANES = np.array([1.0, 2.0, 4.0, -8.0])
VECTORS, REPEATS, KEYS = 6, 500, 4
ARRAY, ADC = 0.5, 0.35


def chip() -> Calibration:
    """A chip whose every column is known: 1 % of gain, 0.7 LSB of offset, an INL of 0.8 LSB."""
    rng = np.random.default_rng(17)
    v = np.linspace(-1, 1, 33)

    def exactly(value: float) -> Estimate:
        return Estimate(value=value, low=value, high=value)

    return Calibration(
        name="truth",
        provenance="assumed",
        array=Array(rows=ROWS, columns=COLUMNS, input_bits=5),
        noise=Noise(
            sigma_lsb=exactly(float(np.hypot(ARRAY, ADC))), sigma_array_lsb=exactly(ARRAY), sigma_adc_lsb=exactly(ADC)
        ),
        columns=tuple(
            Column(column=k, gain=1 + 0.01 * rng.standard_normal(), offset_lsb=0.7 * rng.standard_normal())
            for k in range(COLUMNS)
        ),
        spread=Spread(gain_std=0.01, offset_std_lsb=0.7),
        inl=Inl(v=tuple(v), lsb=tuple(0.8 * np.sin(np.pi * v))),
    )


class Moments(NamedTuple):
    """Mean and variance of the error of every output, [VECTORS, OUTPUTS], in units of the integer product."""

    mean: np.ndarray
    variance: np.ndarray


class Loop(NamedTuple):
    """The chip, and what was calibrated from its conversions."""

    truth: Calibration
    fitted: str


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    folder = tmp_path_factory.mktemp("loop")
    truth = chip()
    save_calibration(truth, folder / "truth.json")
    with pytest.MonkeyPatch.context() as patch:
        asked = ("--calibration", folder / "truth.json", "--conversions", "300000", "--range", "1", "--range", "0.25")
        assert call(patch, "chip", "sample", *asked, "--out", folder / "measured.csv.gz") == 0
        told = ("--rows", str(ROWS), "--levels", str(LEVELS), "--columns", str(COLUMNS))
        assert call(patch, "calibrate", folder / "measured.csv.gz", *told, "--out", folder / "fitted.json") == 0
    return Loop(truth, str(folder / "fitted.json"))


def layer() -> tuple[np.ndarray, np.ndarray]:
    """Integer inputs [VECTORS, CONTRACTION] and int4 weights [CONTRACTION, OUTPUTS] of a layer."""
    x, w = integer_operands(np.random.default_rng(3), (VECTORS, CONTRACTION), (CONTRACTION, OUTPUTS))
    # Vectors that lean to one side reach far into the range, where gain and INL tell.
    x[:3] = np.abs(x[:3])
    x[0, 0] = 7
    return x, w


def predicted(truth: Calibration, reference: float, rows: int) -> Moments:
    """From the chip's true figures, code by code; plane j of output n is on column j * OUTPUTS + n."""
    x, w = layer()
    cells = (w.astype(int)[:, None, :] >> np.arange(4)[:, None]) & 1
    v = np.einsum("mk,kjn->mjn", x, cells) / (rows * LEVELS)
    gain, offset = (
        np.array([getattr(column, name) for column in truth.columns[: 4 * OUTPUTS]]).reshape(4, OUTPUTS)
        for name in ("gain", "offset_lsb")
    )
    volts = (gain * (128 * v + np.interp(v, truth.inl.v, truth.inl.lsb)) + offset) / reference
    sigma = np.hypot(ARRAY / reference, ADC)
    codes = np.arange(-128, 128)
    upper = ndtr((codes + 0.5 - volts[..., None]) / sigma)
    upper[..., -1] = 1.0
    probability = np.diff(upper, axis=-1, prepend=0.0)
    mean = probability @ codes
    variance = probability @ codes**2 - mean**2
    unit = PLANES[:, None] * rows * LEVELS * reference / 128
    return Moments((unit * mean).sum(axis=1) - x @ w, (unit**2 * variance).sum(axis=1))


def simulated(calibration: str, reference: float, replicate: bool, index: int = 0, mismatch: bool = True) -> Moments:
    """From a site as `run` builds it, every vector REPEATS times under each of KEYS keys."""
    settings = {
        "calibration": calibration,
        "adc": {"polarity": "bipolar", "range": reference},
        "array": {"replicate": replicate},
        "noise": {"mismatch": mismatch},
        "formats": {"weight_clip": "max", "activation_clip": "max"},
    }
    imc = ImcConfig.model_validate(settings)
    hardware = build_hardware(imc, load_calibration(calibration))
    x, w = layer()
    repeated = np.repeat(x, REPEATS, axis=0)
    site = dot_site(len(repeated), CONTRACTION, OUTPUTS, hardware, index=index)
    apply = jax.jit(site.apply)
    state = site.init_state()
    outputs = [
        np.asarray(apply(jnp.asarray(repeated), jnp.asarray(w), state, key), np.float64)
        for key in jax.random.split(jax.random.key(8), KEYS)
    ]
    errors = np.stack(outputs).reshape(KEYS, VECTORS, REPEATS, OUTPUTS) - (x @ w)[:, None, :]
    return Moments(errors.mean(axis=(0, 2)), errors.var(axis=(0, 2), ddof=1))


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


@pytest.mark.slow
@pytest.mark.parametrize(("reference", "replicate"), [(1.0, False), (1.0, True), (0.25, False)])
def test_the_layers_error_is_the_chips(loop, reference, replicate):
    rows = CONTRACTION if replicate else ROWS
    chips = predicted(loop.truth, reference, rows)
    found = simulated(loop.fitted, reference, replicate)
    draws = KEYS * REPEATS
    # What is left: the mean of finitely many draws, and 0.02 LSB by which the fit missed the columns.
    by_draws = rms(np.sqrt(chips.variance / draws))
    by_fit = 0.02 * np.sqrt(np.sum(PLANES**2)) * rows * LEVELS / 128
    assert rms(found.mean - chips.mean) < np.hypot(by_draws, by_fit)
    assert rms(found.mean - chips.mean) < 0.05 * rms(chips.mean)
    assert np.corrcoef(found.mean.ravel(), chips.mean.ravel())[0, 1] > 0.998
    ratio = found.variance / chips.variance
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.02)
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / draws) + 0.02


@pytest.mark.slow
def test_without_the_fixed_pattern_the_layer_errs_otherwise(loop):
    """The agreement above is the calibration's doing: without its columns the errors' means have nothing in common."""
    chips = predicted(loop.truth, 1.0, ROWS)
    ideal = simulated(loop.fitted, 1.0, False, mismatch=False)
    assert rms(ideal.mean - chips.mean) > 0.8 * rms(chips.mean)


@pytest.mark.slow
def test_a_layer_elsewhere_on_the_chip_has_errors_of_the_same_size_and_its_own(loop):
    """Another site lands on columns that were not measured; they are drawn from the fitted spread."""
    chips = predicted(loop.truth, 1.0, ROWS)
    other = simulated(loop.fitted, 1.0, False, index=1)
    assert abs(np.corrcoef(other.mean.ravel(), chips.mean.ravel())[0, 1]) < 0.5
    assert rms(other.mean) == pytest.approx(rms(chips.mean), rel=0.35)
    # Elsewhere means lie otherwise between codes, which is the little that a column's error does to the variance.
    assert np.mean(other.variance) == pytest.approx(np.mean(chips.variance), rel=0.03)
