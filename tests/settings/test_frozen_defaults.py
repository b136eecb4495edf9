"""Neither a new config key nor a new default renames a kept trial or reads another training into it."""

from __future__ import annotations

import json
import typing

import pytest

from imctrain.errors import UserError
from imctrain.frozen_defaults import FROZEN, apart, filled
from imctrain.records.runs import gather
from imctrain.settings import Config, dump_toml, frozen_imc, kept_config, known_keys, load_config, load_kept_config
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.trial import Trial, trial_key

KEYS = {
    "": "44136fa355b3",
    "data = { data_dir = '/x' }": "7fb9d166d1a1",
    "seed = 3\nimc = { path = 'auto', noise = { sigma_lsb = 1 }, statistical = { bias_limit = 0.1 } }": "707c3bb4ed29",
    "imc.rules = [{ match = 'stem', path = 'float' }, { match = 'b', overrides.adc.bits = 3 }]": "81cb35b2423d",
}
"""Of configs, as the version computed them that hashed what differs from pydantic's defaults, in JSON."""


def resolved(text: str) -> Config:
    """A config whose missing keys have the frozen values, as when KEYS were computed."""
    import tomllib

    return kept_config(tomllib.loads(text), "test")


@pytest.mark.parametrize(("text", "key"), KEYS.items(), ids=range(len(KEYS)))
def test_keys_are_those_of_kept_trials(text, key):
    assert trial_key(resolved(text)) == key


def test_every_config_key_has_a_frozen_default():
    missing, gone = set(known_keys()) - FROZEN.keys(), FROZEN.keys() - set(known_keys())
    assert not missing, (
        f"new config keys without a line in imctrain/frozen_defaults.py: {', '.join(sorted(missing))}. Add to the "
        "table the value that reproduces trials from before there was such a key; if the key's default in settings/ is "
        "another one, the configs in experiments/ whose results are kept must name the old value."
    )
    assert not gone, f"kept trials have keys that are no config keys any more: {', '.join(sorted(gone))}"


def test_the_table_is_a_config():
    """Every value is possible, in the type that a resolved config holds it in."""
    content = kept_config({}, "test").model_dump(mode="json")
    assert apart(content) == {}
    assert filled({}) == content


def test_what_a_config_toml_leaves_out_is_none():
    """TOML has no None: a key that may be None reads as the table's value where it is missing."""

    def optional(model, prefix=""):
        for name, field in model.model_fields.items():
            if hasattr(field.annotation, "model_fields"):
                yield from optional(field.annotation, f"{prefix}{name}.")
            elif type(None) in typing.get_args(field.annotation):
                yield prefix + name

    # How often to save is no part of what is trained.
    assert [key for key in optional(Config) if FROZEN[key] is not None] == ["checkpoint.every_seconds"]


def test_a_key_without_an_entry_is_no_silent_part_of_a_hash():
    with pytest.raises(LookupError, match=r"imc\.adc\.colour has no entry in imctrain/frozen_defaults\.py"):
        apart({"imc": {"adc": {"colour": "red"}}})


def test_a_new_default_is_not_read_into_what_is_kept(tmp_path):
    """Keys that a run's folder, a plan or a recording leaves out are the table's."""
    config = tmp_path / "config.toml"
    config.write_text("[[imc.rules]]\nmatch = 'stem'\n")
    kept = load_kept_config(config)
    for key, value in FROZEN.items():
        if not key.startswith("imc.rules."):
            found = kept.model_dump(mode="json")
            for name in key.split("."):
                found = found[name]
            assert found == value, key
    assert (kept.imc.rules[0].match, kept.imc.rules[0].path) == ("stem", None)
    (tmp_path / "failed.json").write_text("{}")
    (record,) = gather(tmp_path)
    assert record.config == kept.model_dump(mode="json")
    with pytest.raises(UserError, match=r"imc\.adc\.bitz is an unknown key"):
        kept_config({"imc": {"adc": {"bitz": 1}}}, "test")
    with pytest.raises(UserError, match=r"imc\.rules = 'stem'"):
        kept_config({"imc": {"rules": "stem"}}, "test")


def test_the_config_of_a_new_run_is_kept_as_it_is(tmp_path):
    """Resolved, written, and read back: this version's defaults do not turn into the table's."""
    config = tmp_path / "config.toml"
    config.write_text("imc.path = 'auto'\nimc.rules = [{ match = 'a', overrides.adc.bits = 3 }]\n")
    fresh = load_config(config)
    config.write_text(dump_toml(fresh))
    assert load_kept_config(config) == fresh
    assert kept_config(apart(fresh.model_dump(mode="json")), "test") == fresh


def test_plans_are_relative_to_the_table(tmp_path):
    folder = SweepFolder(tmp_path)
    config = Config(imc=frozen_imc(path="exact", chip_seed=3))
    (key,) = folder.add("s", [Trial(config)], tmp_path)
    target = tmp_path / "plan" / f"{key}.json"
    plan = json.loads(target.read_text())
    assert (plan["frozen_defaults"], plan["config"]) == (1, {"imc": {"chip_seed": 3}})
    assert folder.config(key) == config
    # A plan of the version before says the same without naming the table.
    del plan["frozen_defaults"]
    target.write_text(json.dumps(plan))
    assert trial_key(folder.config(key)) == key
    target.write_text(json.dumps(plan | {"frozen_defaults": 2}))
    with pytest.raises(UserError, match="planned against table 2 of defaults and this version of imctrain knows 1"):
        folder.config(key)
