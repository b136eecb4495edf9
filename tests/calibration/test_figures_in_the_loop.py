"""Curves of single columns and noise that conversions share: drawn by the virtual chip, fitted, and simulated."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_sites import UNSIGNED, dot_site, hardware, integer_operands, levels
from real_chips import exactly

from imctrain.calibration import Calibration, load_calibration, save_calibration
from imctrain.calibration.calibrate import Request, calibrate_file
from imctrain.calibration.schema import Inl
from imctrain.calibration.virtual_chip import SamplePlan, VirtualChip, write_samples
from imctrain.settings import AdcSpec, ArraySpec, Hardware, MappingSpec, NoiseSpec


def measured(folder, truth: Calibration, plan: SamplePlan, seed: int) -> Calibration:
    chip = VirtualChip(truth, seed)
    write_samples(chip, plan, folder / "m.parquet")
    return calibrate_file(folder / "m.parquet", chip.setup, Request("again", replicates=50))[0]


@pytest.mark.slow
@pytest.mark.parametrize("ranges", [(1.0,), (1.0, 0.25)])
@pytest.mark.parametrize("gain", [1.0, 0.8])
def test_the_rms_of_single_columns_curves_is_found_again(tmp_path, ranges, gain):
    """Of the columns that were drawn, within twice the half width of its interval (3.9 standard errors)."""
    truth = load_calibration("jia2020-65nm-assumed")
    columns = tuple(load_calibration("example-three-dies").columns[0].model_copy(update={
        "column": k, "gain": gain, "offset_lsb": 0.1 * k - 3.0, "sigma_lsb": 0.0}) for k in range(64))  # fmt: skip
    truth = truth.model_copy(update={"inl": Inl(column_rms_lsb=exactly(0.2)), "columns": columns})
    found = measured(tmp_path, truth, SamplePlan(conversions=300_000, columns=64, ranges=ranges), 3)
    drawn = VirtualChip(truth, 3).curves_of(0)[:64]
    rms = np.sqrt(np.sum(drawn**2, axis=1).mean())
    estimate = found.inl.column_rms_lsb
    assert abs(estimate.value - rms) < estimate.high - estimate.low
    assert estimate.low > 0.1
    # With one range what is left of the noise is the chip's; with two the curves leave a trace in it.
    assert found.noise.sigma_lsb.value == pytest.approx(
        truth.noise.sigma_lsb.value, rel=0.02 if len(ranges) == 1 else 0.1
    )


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    truth = load_calibration("feasible-assumed")
    noise = truth.noise.model_copy(
        update={
            "sigma_lsb": exactly(1.0),
            "sigma_array_lsb": None,
            "sigma_adc_lsb": None,
            "sigma_slow_lsb": exactly(0.5),
            "sigma_common_lsb": exactly(0.4),
        }
    )
    truth = truth.model_copy(update={"noise": noise})
    found = measured(folder, truth, SamplePlan(conversions=200_000, columns=32, order="passes", repeats=4), 5)
    save_calibration(found, folder / "found.json")
    return found, folder / "found.json"


@pytest.mark.slow
def test_parts_of_the_noise_are_found_again(loop):
    found, _ = loop
    for part, value in ((found.noise.sigma_slow_lsb, 0.5), (found.noise.sigma_common_lsb, 0.4)):
        assert abs(part.value - value) < part.high - part.low
    assert found.noise.sigma_lsb.value == pytest.approx(1.0, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["exact", "statistical"])
def test_an_mvm_on_the_fitted_chip_has_the_noise_of_the_virtual_one(loop, path):
    """A kernel's gradient, the mean of 4 repeats: variance and covariance of outputs by the figures that the virtual
    chip was given."""
    rows, outputs, vectors, samples, draws = 12, 20, 4, 4, 1500
    hw = Hardware.from_calibration(
        loop[1], path=path, formats=hardware().formats, noise=NoiseSpec(mismatch=False),
        array=ArraySpec(rows=64, replicate=False), adc=AdcSpec(polarity="bipolar", range_policy="fixed"),
        mapping=MappingSpec(gradient_samples=samples),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x, w = integer_operands(rng, (rows, outputs), (outputs, vectors), low=0)
    x.flat[0] = 15
    g = levels(rng, (rows, vectors))
    site = dot_site(rows, outputs, vectors, hw, lhs=UNSIGNED)
    state = site.init_state()
    plan = site.mvms[2]

    def one(key):
        return jax.vjp(lambda b: site.apply(jnp.asarray(x), b, state, key), jnp.asarray(w))[1](jnp.asarray(g))[0]

    keys = jax.random.split(jax.random.key(1), draws)
    dw = np.asarray(jax.jit(lambda k: jax.lax.map(one, k, batch_size=50))(keys), np.float64).swapaxes(1, 2)
    c, beta = np.asarray(plan.mapping.coefficients), np.array([1.0, 2.0, 4.0, 8.0])
    unit = 64 * hw.array.levels * 2 / 2**hw.adc.bits
    fresh = 1.0 - 0.5**2 - 0.4**2 + 1 / 12
    common = (unit * 0.4 * beta.sum()) ** 2 * np.sum(c**2) / samples
    variance = (unit**2 * np.sum(beta**2)) * (fresh * np.sum(c**2) / samples + 0.5**2 * c.sum() ** 2) + common
    rest = dw - dw.mean(axis=0)
    # The fit's own errors: 2 % of sigma is 4 % of a variance.
    assert rest.var() / variance == pytest.approx(1, abs=0.05)
    averaged = (unit**2 * np.sum(beta**2)) * np.sum(c**2) * (1 + 1 / 12) / samples
    assert rest.var() > 1.5 * averaged
    off = (rest.sum(axis=2) ** 2 - (rest**2).sum(axis=2)).mean() / (20 * 19)
    assert off == pytest.approx(common, rel=0.1, abs=5 * (variance / 20 + common) * np.sqrt(2 / (draws * vectors)))
    assert common > 0.1 * variance
