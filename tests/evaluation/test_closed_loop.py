"""Sample, calibrate, train, evaluate, by the command line: a fitted chip stands for the one that was measured.

The chip is a virtual one, so that its true figures are known; the loop proves consistency, and nothing about silicon.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from real_chips import slopes
from run_tools import call, write

from imctrain.calibration import load_calibration, save_calibration
from imctrain.calibration.schema import Array, DieSpread, Estimate, Noise, Spread
from imctrain.calibration.variation import change

pytestmark = pytest.mark.slow

COLUMNS, DIES, CONVERSIONS = 64, 3, 400_000
SEEDS = (0, 1, 2)
ERRORS = 2.0
"""Half intervals of 95 % within which a single figure must be: 3.9 standard errors, left by chance in 1 of 10^4."""


def exactly(value):
    return Estimate(value=value, low=value, high=value)


def source():
    """No column is listed: seed and spread draw them, and dies their means."""
    return load_calibration("feasible-assumed").model_copy(
        update={
            "name": "source",
            "array": Array(columns=COLUMNS),
            "noise": Noise(sigma_lsb=exactly(0.5), sigma_array_lsb=exactly(0.4), sigma_adc_lsb=exactly(0.3)),
            "spread": Spread(gain_std=0.03, offset_std_lsb=0.8),
            "die_spread": DieSpread(gain_std=0.02, offset_std_lsb=0.5, sigma_std_lsb=0.05),
            "temperature": slopes(25.0, -40.0, 85.0, -4e-4, 0.02, 0.003),
            "supply": slopes(0.8, 0.72, 0.88, 0.5, -3.0, -2.0),
        }
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder, truth, fitted) of what the commands wrote."""
    folder = tmp_path_factory.mktemp("loop")
    save_calibration(source(), folder / "source.json")
    with pytest.MonkeyPatch.context() as patch:
        asked = ("--conversions", CONVERSIONS, "--dies", DIES, "--range", "1,0.25", "--seed", 4)
        at = ("--temperature", "-40,25,85", "--supply", "0.72,0.8,0.88")
        out = ("--out", folder / "measured.parquet", "--truth", folder / "true.json")
        assert call(patch, "chip", "sample", "--calibration", folder / "source.json", *asked, *at, *out) == 0
        told = ("--rows", 1152, "--levels", 16, "--columns", COLUMNS, "--die", "d0", "--out", folder / "fitted.json")
        assert call(patch, "calibrate", folder / "measured.parquet", *told) == 0
    return folder, *(load_calibration(str(folder / f"{name}.json")) for name in ("true", "fitted"))


def within(truth, value, interval, errors=ERRORS):
    return abs(truth - value) <= errors * max(interval[1] - value, value - interval[0]) + 1e-12


def test_the_fit_finds_what_the_chip_has(files):
    _, true, fitted = files
    assert fitted.provenance == true.provenance == "assumed"
    # Both are at references of their own: the mean of what was measured, and the source's.
    by = [change(getattr(true, name), getattr(fitted, name).reference) for name in ("temperature", "supply")]
    gain_by, offset_by = by[0].gain * by[1].gain, by[0].offset_lsb + by[1].offset_lsb
    sigma_by = by[0].noise * by[1].noise
    for name in ("sigma_lsb", "sigma_array_lsb", "sigma_adc_lsb"):
        found, real = getattr(fitted.noise, name), getattr(true.noise, name).value
        # The fit's is that of all dies together, which differ.
        dies = np.sqrt(np.mean([(die.sigma_lsb.value / true.noise.sigma_lsb.value) ** 2 for die in true.dies]))
        assert within(real * sigma_by * dies, found.value, (found.low, found.high), errors=4.0), name
    for quantity in ("temperature", "supply"):
        for name in ("gain_per_unit", "offset_lsb_per_unit", "sigma_per_unit"):
            found, real = getattr(getattr(fitted, quantity), name), getattr(getattr(true, quantity), name).value
            assert within(real, found.value, (found.low, found.high)), (quantity, name)
    for figure, factor, shift in (("gain", gain_by, 0.0), ("offset_lsb", 1.0, offset_by)):
        interval = {"gain": "gain_ci", "offset_lsb": "offset_ci_lsb"}[figure]
        held = [
            within(getattr(real, figure) * factor + shift, getattr(column, figure), getattr(column, interval), 1.0)
            for real, column in zip(true.columns, fitted.columns, strict=True)
        ]
        # 64 columns at 95 %: fewer than 52 are within theirs once in 20,000.
        assert sum(held) >= 52, figure
    by_name = {die.die: die for die in true.dies}
    for die in fitted.dies:
        real = by_name[die.die]
        assert within(real.gain_mean * gain_by, die.gain_mean, die.gain_mean_ci)
        assert within(real.offset_mean_lsb + offset_by, die.offset_mean_lsb, die.offset_mean_ci_lsb)
    ends = fitted.die_spread
    assert ends.gain_std_ci[0] < true.die_spread.gain_std < ends.gain_std_ci[1]
    assert ends.offset_std_ci_lsb[0] < true.die_spread.offset_std_lsb < ends.offset_std_ci_lsb[1]


def test_a_network_is_as_good_on_the_fitted_chip_as_on_the_true_one(files, monkeypatch, capsys):
    """Three networks, trained on the fitted chip; both chips, two other dies, and the ends of both conditions."""
    folder, *_ = files
    text = """
        name = "loop"
        baseline = false
        data = { name = "digits", batch_size = 32, eval_batch_size = 180 }
        model = { name = "mlp", width = 16 }
        training = { epochs = 5, log_every = 16 }
        imc.preset = "robust"
        imc.calibration = "fitted.json"
    """
    accuracies = {}
    config = write(folder, text, "loop.toml")
    for seed in SEEDS:
        run = folder / f"seed-{seed}"
        assert call(monkeypatch, "run", "--config", config, "--seed", seed, "--out", run) == 0
        for name in ("fitted", "true"):
            at = ("--dies", "d1,d2", "--temperature", "-40,85", "--supply", "0.72,0.88", "--repeats", 2)
            out = ("--calibration", folder / f"{name}.json", "--out", folder / f"{name}-{seed}", "--json")
            capsys.readouterr()
            assert call(monkeypatch, "evaluate", run, *at, *out) == 0
            (found,) = json.loads(capsys.readouterr().out)
            for one in found["dies"]:
                where = (one["overrides"].get("imc.chip.die"), *sorted((one.get("conditions") or {}).items()))
                accuracies.setdefault(where, {}).setdefault(name, []).append(np.mean(one["accuracies"]))
    # Three dies, at their reference and at four corners.
    assert len(accuracies) == 15
    for where, found in accuracies.items():
        fitted, true = np.array(found["fitted"]), np.array(found["true"])
        spread = np.hypot(fitted.std(ddof=1), true.std(ddof=1))
        # One image of 360 is 0.3 points.
        assert abs(fitted.mean() - true.mean()) <= max(spread, 0.01), (where, found)
        assert fitted.mean() > 0.9, where
