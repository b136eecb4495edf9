"""Rules that change a site's total noise or its mismatch, as [imc.noise] does for all sites."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imctrain.calibration import load_calibration
from imctrain.experiment.from_config import build_hardware, build_rules
from imctrain.imc.chip.adc import converter
from imctrain.imc.chip.columns import column_errors, macro_corrections, macro_errors
from imctrain.intercept import Rule, on_imc
from imctrain.intercept.rules import hardware_of, override
from imctrain.settings import AdcSpec, ChipSpec, ColumnError, Hardware, ImcConfig

MACRO = load_calibration("vlsi21-28nm-assumed")


def net(w, x):
    with jax.named_scope("quiet"):
        y = x @ w
    with jax.named_scope("loud"):
        return y @ w


def hardware(**noise) -> Hardware:
    return build_hardware(ImcConfig.model_validate({"noise": noise}), MACRO)


def test_total_noise_keeps_its_split():
    quiet = override(hardware(), {"noise.sigma_lsb": 0.5})
    assert quiet.parts_lsb == pytest.approx((0.4, 0.3))
    assert quiet.total_lsb == pytest.approx(0.5)
    assert quiet == hardware(sigma_lsb=0.5)
    assert quiet.sigma_array == pytest.approx(0.4 * 2 / 256)
    assert quiet.sigma_adc == pytest.approx(0.3)
    conv = converter(quiet, non_negative=False)
    assert float(conv.sigma_lsb(1.0)) == pytest.approx(0.5)
    assert float(conv.sigma_lsb(0.25)) == pytest.approx(np.hypot(4 * 0.4, 0.3))


def test_total_noise_is_scaled_as_that_of_a_config_is():
    assert override(hardware(scale=2.0), {"noise.sigma_lsb": 0.5}).total_lsb == pytest.approx(1.0)
    assert hardware(scale=2.0, sigma_lsb=0.5).total_lsb == pytest.approx(1.0)


def test_a_site_may_have_noise_where_the_config_has_none_and_the_other_way_round():
    loud = override(hardware(sigma_lsb=0.0), {"noise.sigma_lsb": 1.0})
    assert loud.parts_lsb == pytest.approx((0.8, 0.6))
    assert not override(loud, {"noise.sigma_lsb": 0}).has_noise
    # Without a split, all of it is a voltage before the range.
    bare = override(Hardware(), {"noise.sigma_lsb": 0.5})
    assert bare.parts_lsb == (0.5, 0.0)


def test_one_part_replaces_that_part_of_the_total():
    changed = override(hardware(sigma_lsb=0.5), {"noise.sigma_adc_lsb": 0.1})
    assert changed.parts_lsb == pytest.approx((0.4, 0.1))
    assert changed.total_lsb == pytest.approx(np.hypot(0.4, 0.1))
    both = override(hardware(), {"noise.sigma_lsb": 0.5, "noise.sigma_array_lsb": 0.6})
    assert both.parts_lsb == pytest.approx((0.5 / np.sqrt(2), 0.5 / np.sqrt(2)))


COLUMNS = ChipSpec(
    columns=(ColumnError(0, 0.9, 3.0),),
    gain_mean=0.95,
    offset_mean_lsb=1.0,
    gain_std=0.01,
    offset_std_lsb=0.5,
    inl_v=(-1.0, 0.0, 1.0),
    inl_lsb=(0.0, 2.0, 0.0),
)


def test_no_mismatch_is_neither_gain_nor_offset_nor_inl():
    hw = Hardware(chip=COLUMNS, adc=AdcSpec(offset_conversions=16))
    ideal = override(hw, {"noise.mismatch": False})
    assert hw.has_mismatch
    assert hw.has_inl
    assert not ideal.has_mismatch
    assert not ideal.has_inl
    assert column_errors(0, "forward", 1, 8, ideal) is None
    assert converter(ideal, non_negative=False).inl == ((), ())
    gain, offset = macro_errors(0, ideal)
    assert set(gain) == {1.0}
    assert set(offset) == {0.0}
    assert not macro_corrections(0, ideal).any()


def test_mismatch_comes_back_where_the_config_left_it_out():
    without = hardware(mismatch=False)
    assert not without.has_mismatch
    assert not without.has_inl
    assert override(without, {"noise.mismatch": True}) == hardware()
    assert hardware().has_mismatch
    assert hardware().has_inl


@pytest.mark.parametrize("changes", [{"noise.mismatch": False}, {"noise.sigma_lsb": 0.0}, {"noise.sigma_lsb": 2.0}])
def test_a_rule_of_a_config_is_a_rule_in_python_and_changes_its_site_alone(changes):
    imc = ImcConfig.model_validate({"rules": ({"match": "quiet*", "overrides": changes},)})
    rules = build_rules(imc)
    assert rules == (Rule("quiet*", overrides=changes),)
    everywhere = build_hardware(imc, MACRO)
    assert hardware_of("loud", everywhere, rules) == everywhere
    found = hardware_of("quiet", everywhere, rules)
    own = everywhere.noise.replace(**{k.removeprefix("noise."): v for k, v in changes.items()})
    assert found == everywhere.replace(noise=own)
    assert found != everywhere


def test_a_quiet_site_is_exact_and_a_loud_one_is_not():
    """Of two equal products on a converter that tells integers apart, the one without noise and mismatch is exact."""
    clips = {"formats.weight_clip": "max", "formats.activation_clip": "max"}
    base = override(hardware(), {"adc.bits": 20, "array.replicate": False} | clips)
    rule = Rule("quiet*", overrides={"noise.mismatch": False, "noise.sigma_lsb": 0})
    rng = np.random.default_rng(0)
    x, w = (jnp.asarray(rng.integers(-7, 8, (8, 8)), jnp.float32).at[0, 0].set(7) for _ in range(2))

    def product(w, x):
        with jax.named_scope("quiet"):
            first = x @ w
        with jax.named_scope("loud"):
            return first, x @ w

    quiet, loud = on_imc(product, base, [rule])(w, x, key=jax.random.key(1))
    np.testing.assert_allclose(quiet, x @ w, atol=1e-3)
    assert float(jnp.sqrt(jnp.mean((loud - x @ w) ** 2))) > 100
