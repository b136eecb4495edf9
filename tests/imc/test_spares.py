"""Dead columns and spares: what is dead, what is mapped out, what dead columns read in both paths and the reference."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from imc_reference import array_matmul, even_tiles
from imc_sites import dot_site, hardware, integer_operands, levels, run
from scipy import stats

import imctrain
from imctrain.calibration import Calibration, load_calibration
from imctrain.calibration.dead_columns import DeadColumns, dead_columns_of, drawn_dead, in_use
from imctrain.calibration.schema import Array, Column, Fit
from imctrain.calibration.virtual_chip import VirtualChip
from imctrain.errors import UserError
from imctrain.experiment.from_config import build_hardware
from imctrain.imc.chip.columns import column_errors, macro_errors
from imctrain.imc.chip.figures import chip_of
from imctrain.imc.chip.spares import columns_in_use, dead_columns_told, macro_dead
from imctrain.imc.engines.validity import validity
from imctrain.settings import AdcSpec, ArraySpec, ChipSpec, ColumnError, Hardware, ImcConfig, NoiseSpec

COLUMNS = 24
LISTED = {3: -20.0, 17: 5.0}
"""Dead columns of the measured die, and what they read."""


def calibration(**changes) -> Calibration:
    """A chip of 24 columns, two of them dead."""
    base = load_calibration("feasible-assumed")
    columns = [
        Column(column=k, gain=0.0, offset_lsb=LISTED[k]) if k in LISTED else Column(column=k, gain=0.98 + 0.002 * k)
        for k in range(COLUMNS)
    ]
    fit = Fit(dead_columns=tuple(LISTED))
    return base.model_copy(
        update={"name": "dead", "array": Array(columns=COLUMNS), "columns": tuple(columns), "fit": fit} | changes
    )


def chip(calibration_=None, **imc) -> Hardware:
    imc = {"array": {"macros": 4, "rows": 64}, "adc": {"range_policy": "fixed"}} | imc
    return build_hardware(ImcConfig.model_validate(imc), calibration_ or calibration())


def test_dead_columns_are_those_that_are_named_and_those_without_gain():
    found = dead_columns_of(calibration())
    assert found == DeadColumns(2 / COLUMNS, (-20.0, 5.0), (3, 17))
    assert dead_columns_of(calibration(fit=Fit())) == found
    assert dead_columns_of(load_calibration("example-three-dies")) == DeadColumns()
    assert drawn_dead(DeadColumns(), 0, 0, 1, 8)[0].sum() == 0


def test_other_macros_and_dies_draw_them_with_the_measured_share():
    """4,000 macros of 24 columns: a share of 1/12 within 5 standard errors, 0.45 %; each with a key of its own."""
    of = dead_columns_of(calibration())
    drawn = [drawn_dead(of, 0, 0, macro, COLUMNS) for macro in range(1, 4001)]
    dead, constants = (np.stack(part) for part in zip(*drawn, strict=True))
    assert dead.mean() == pytest.approx(1 / 12, abs=0.0045)
    assert set(np.unique(constants[dead])) == {-20.0, 5.0}
    assert np.mean(constants[dead] == 5.0) == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(dead.sum()))
    assert not np.array_equal(dead[:50], np.stack([drawn_dead(of, 0, 1, m, COLUMNS)[0] for m in range(1, 51)]))
    assert not np.array_equal(dead[:50], np.stack([drawn_dead(of, 7, 0, m, COLUMNS)[0] for m in range(1, 51)]))


def test_the_measured_macro_has_the_measured_ones_and_errors_follow():
    hw = chip()
    assert np.flatnonzero(macro_dead(0, hw)).tolist() == [3, 17]
    gain, offset = macro_errors(0, hw)
    assert (gain[3], offset[3], gain[17], offset[17]) == (0, -20, 0, 5)
    for macro in range(1, 4):
        gain, offset = macro_errors(macro, hw)
        dead = macro_dead(macro, hw)
        np.testing.assert_array_equal(gain == 0, dead)
        assert set(offset[dead]) <= {-20.0, 5.0}
    # Columns that live are the draws that they were without dead ones.
    none = calibration(columns=tuple(c for c in calibration().columns if c.column not in LISTED), fit=Fit())
    plain = macro_errors(2, chip(none))[0]
    living = ~macro_dead(2, hw)
    np.testing.assert_array_equal(macro_errors(2, hw)[0][living], plain[living])
    assert not macro_dead(1, hw.replace(noise=NoiseSpec(mismatch=False))).any()
    # Another die has no measured columns, and draws on macro 0 too.
    other = chip(chip={"die": 3})
    assert other.chip.dead_columns == ()
    assert not np.array_equal(macro_dead(0, other), macro_dead(0, hw))


def test_spares_take_the_place_of_dead_columns_in_order_as_long_as_they_last():
    dead = np.zeros(10, bool)
    dead[[1, 4, 8]] = True  # 8 is a spare itself
    assert in_use(dead, 0).tolist() == list(range(10))
    assert in_use(dead, 3).tolist() == [0, 7, 2, 3, 9, 5, 6]
    assert in_use(dead, 2).tolist() == [0, 9, 2, 3, 4, 5, 6, 7]
    assert in_use(np.zeros(10, bool), 3).tolist() == list(range(7))
    assert in_use(np.ones(4, bool), 2).tolist() == [0, 1]


def test_operands_meet_columns_that_live_where_spares_suffice():
    hw = chip(array={"macros": 4, "rows": 64, "spare_columns": 8})
    assert hw.array.usable_columns == 16
    found = chip_of(hw)
    assert found.gain.shape == (4, 16)
    assert np.all(np.asarray(found.gain) > 0)
    for macro in range(4):
        used = columns_in_use(macro, hw)
        np.testing.assert_allclose(found.gain[macro], macro_errors(macro, hw)[0][used], rtol=1e-6)
    # 40 columns take three macros in place of two, and errors lie on the same columns in both descriptions.
    gain, _, _ = column_errors(1, "forward", 1, 40, hw)
    np.testing.assert_array_equal(gain[0], np.asarray(found.gain)[[3, 0, 1]].reshape(-1)[:40])
    assert "8 of 24 columns of a macro are spare, 16 hold operands, 0 dead ones among them" in dead_columns_told(hw)
    assert "2 of the 24 columns of 1 macros are dead" in dead_columns_told(chip(array={"macros": 1}))
    assert dead_columns_told(Hardware()) is None
    with pytest.raises(UserError, match=r"array\.spare_columns = 24 is not possible: allowed is fewer than"):
        chip(array={"spare_columns": 24})


def dead_site(path="exact", sigma=0.0, constant=-12.0, **settings):
    """20 columns of one macro, 6 and 13 of them dead, and its operands."""
    rng = np.random.default_rng(8)
    x, w = integer_operands(rng, (4, 150), (150, 5))
    listed = tuple(
        ColumnError(k, 0.0, constant) if k in (6, 13) else ColumnError(k, 0.97 + 0.003 * k, 0.2) for k in range(20)
    )
    figures = ChipSpec(
        sigma_array_lsb=0.75 * sigma, sigma_adc_lsb=0.66 * sigma, columns=listed, dead_share=0.1,
        dead_offsets_lsb=(constant,), dead_columns=(6, 13),
    )  # fmt: skip
    adc = AdcSpec(range=0.5, polarity="bipolar", range_policy="fixed")
    hw = hardware(chip=figures, adc=adc, array=ArraySpec(rows=64, columns=20, macros=1), path=path, **settings)
    return dot_site(4, 150, 5, hw), x, w, jnp.asarray(levels(rng, (4, 5)))


def test_what_dead_columns_read_is_that_of_the_reference():
    site, x, w, g = dead_site()
    y, *_ = run(site, x, w, g)
    gain, offset, _ = (part.reshape(3, 4, 5) for part in column_errors(0, "forward", 3, 20, site.spec.hardware))
    assert (gain == 0).sum() == 6
    expected, _ = array_matmul(x, w, tiles=even_tiles(150, 64), rows=64, ranges=[0.5], gain=gain, offset=offset)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=2e-3)


@pytest.mark.slow
def test_both_paths_have_one_distribution_with_dead_columns():
    found = []
    for key, path in enumerate(("exact", "statistical")):
        site, x, w, g = dead_site(path, sigma=1.0)
        assert set(site.paths.values()) == {path}
        state = site.init_state()

        def one(key, site=site, x=x, w=w, g=g, state=state):
            out, pullback = jax.vjp(lambda a, b: site.apply(a, b, state, key), jnp.asarray(x), jnp.asarray(w))
            return out, *pullback(g)

        keys = jax.random.split(jax.random.key(key), 1500)
        found.append(
            [np.asarray(part, np.float64) for part in jax.jit(lambda k, f=one: jax.lax.map(f, k, batch_size=50))(keys)]
        )
    rng = np.random.default_rng(9)
    for exact, statistical in zip(*found, strict=True):
        std = statistical.std(axis=0)
        np.testing.assert_allclose(exact.mean(axis=0), statistical.mean(axis=0), atol=7.5 * std.max() / np.sqrt(1500))
        assert np.abs(exact.var(axis=0) / statistical.var(axis=0) - 1).max() < 6.5 * np.sqrt(4 / 1500) + 0.02
        pick = rng.permutation(exact.size)[:4000]
        a, b = (((s - statistical.mean(axis=0)) / std).ravel()[pick] for s in (exact, statistical))
        smear = rng.uniform(-0.25, 0.25, (2, len(pick)))
        assert stats.ks_2samp(a + smear[0], b + smear[1]).pvalue > 1e-4


def test_a_constant_at_the_end_of_the_codes_is_simulated_by_conversions():
    """At R = 1/2 a column that reads -128 LSB clips at every conversion, which no Gaussian does."""
    plans = dead_site("statistical", sigma=1.0)[0].mvms
    assert {validity(plan)[0] for plan in plans} == {"always"}
    plans = dead_site("auto", sigma=1.0, constant=-128.0)[0].mvms
    for plan in plans:
        answer, why = validity(plan)
        assert answer == "never"
        assert "what dead columns read may clip" in why


def test_the_virtual_chip_draws_them_as_the_simulator_does():
    c = calibration()
    unlisted = c.model_copy(update={"columns": c.columns[:18]})
    for die in (0, 2):
        gain, offset, _ = VirtualChip(unlisted, seed=5).columns_of(die)
        hw = chip(unlisted, chip_seed=5, chip={"die": die} if die else {})
        expected = macro_errors(0, hw)
        np.testing.assert_allclose(gain, expected[0])
        np.testing.assert_allclose(offset, expected[1])


def test_spares_are_paid_for_in_macros_and_area():
    from imctrain.cost.schedule import needed_macros

    site = dot_site(8, 60, 10, chip(array={"macros": 4, "rows": 64, "spare_columns": 4}))
    whole = dot_site(8, 60, 10, chip(array={"macros": 4, "rows": 64}))
    assert [needed_macros(plan) for plan in whole.mvms] == [2, 10, 10]
    assert [needed_macros(plan) for plan in site.mvms] == [2, 12, 12]
    assert site.mvms[2].utilisation < whole.mvms[2].utilisation
    x = w = jnp.ones((60, 60))
    for spares, told in ((0, False), (4, True)):
        cost = imctrain.on_imc(lambda w, x: x @ w, chip(array={"macros": 4, "spare_columns": spares})).cost(w, x)
        assert any(f"{spares} of 24 columns of a macro are spare" in note for note in cost.notes) == told
