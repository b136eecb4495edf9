"""[imc.chip] and [imc.conditions]: what they take, and the schedule of a training."""

from __future__ import annotations

import pytest

from imctrain.errors import UserError
from imctrain.settings import ConditionsConfig, load_config, validate_config

WARM = {"temperature_c": [[0, 25], [5, 85.0]]}


def imc(**tables):
    return validate_config({"imc": tables}, "c").imc


def test_a_die_is_a_name_or_a_number(tmp_path):
    assert imc(chip={"die": "A"}).chip.die == "A"
    assert imc(chip={"die": 7}).chip.die == 7
    assert imc().chip.die is None
    path = tmp_path / "e.toml"
    path.write_text("[imc.chip]\ndie = 'lot 3'\n")
    assert load_config(path).imc.chip.die == "lot 3"
    assert load_config(path, ["imc.chip.die=7"]).imc.chip.die == 7
    assert load_config(path, ["imc.chip.die=B"]).imc.chip.die == "B"
    for wrong in (0, -1, 1.5, True, "", [1]):
        with pytest.raises(
            UserError, match=r"c: imc.chip.die = .* is not possible: allowed is a number, 1 to"
        ) as error:
            imc(chip={"die": wrong})
        assert "\n" not in str(error.value)


def test_a_schedule_holds_each_value_until_the_next():
    drift = imc(conditions=WARM | {"supply_v": [[0, 0.8], [2, 0.76]]}).conditions
    assert drift.epochs == (0, 2, 5)
    seen = [(drift.at(epoch).temperature_c, drift.at(epoch).supply_v) for epoch in (0, 1, 2, 4, 5, 99)]
    assert seen == [(25, 0.8), (25, 0.8), (25, 0.76), (25, 0.76), (85.0, 0.76), (85.0, 0.76)]
    still = ConditionsConfig(temperature_c=40.0)
    assert still.epochs == (0,)
    assert still.at(3) == still


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("warm", "'warm' is not possible: allowed is -273 to 1000, or a list of"),
        ([], "whose epochs rise from 0"),
        ([[1, 25.0]], "whose epochs rise from 0"),
        ([[0, 25.0], [0, 85.0]], "whose epochs rise from 0"),
        ([[0, 25.0], [5]], r"\(5,\) is not possible: allowed is \[epoch, value\]"),
        ([[0.5, 25.0]], "epoch whole"),
        ([[0, 2000.0]], "value -273 to 1000"),
        (float("nan"), "allowed is"),
    ],
)
def test_what_is_no_condition_is_one_line(value, says):
    with pytest.raises(UserError, match=rf"^c: imc.conditions.temperature_c = .*{says}") as error:
        imc(conditions={"temperature_c": value})
    assert "\n" not in str(error.value)
