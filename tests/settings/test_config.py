"""The experiment's TOML: what is wrong with it is told in one line that names file, key, value and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imctrain.errors import UserError
from imctrain.settings import Config, config_hash, dump_toml, known_keys, load_config, validate_config

ROOT = Path(__file__).parents[2]


def load(tmp_path: Path, text: str, *overrides: str) -> Config:
    path = tmp_path / "experiment.toml"
    path.write_text(text)
    return load_config(path, overrides)


def message(tmp_path: Path, text: str, *overrides: str) -> str:
    with pytest.raises(UserError) as error:
        load(tmp_path, text, *overrides)
    found = str(error.value)
    assert "\n" not in found
    return found


@pytest.mark.parametrize(
    ("text", "typed", "nearest"),
    [
        ("[training]\nepoch = 3", "training.epoch", "training.epochs"),
        ("[trainng]\nepochs = 3", "trainng", "training"),
        ("epochs = 3", "epochs", "training.epochs"),
        ("[imc]\nbits = 8", "imc.bits", "imc.adc.bits"),
        ("[imc.adc]\nrange_polcy = 'fixed'", "imc.adc.range_polcy", "imc.adc.range_policy"),
        ("[[imc.rules]]\nmtch = 'stem'\npath = 'float'", "imc.rules.0.mtch", "imc.rules.match"),
        ("[data.augment]\nflips = true", "data.augment.flips", "data.augment.flip"),
    ],
)
def test_an_unknown_key_names_file_key_and_nearest(tmp_path, text, typed, nearest):
    found = message(tmp_path, text)
    assert f"config {tmp_path / 'experiment.toml'}: {typed} is an unknown key; the nearest is {nearest};" in found


def test_an_unknown_key_lists_what_its_table_may_hold(tmp_path):
    found = message(tmp_path, "[imc.mapping]\npass = 3")
    keys = "activation, full_drive, gradient, gradient_samples, passes, planes"
    assert found.endswith(f"allowed in [imc.mapping]: {keys}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[training]\nepochs = 'many'", "training.epochs = 'many' is not possible: it should be a valid integer"),
        ("[training]\nepochs = 0", "training.epochs = 0 is not possible: allowed is 1 to 1000000"),
        (
            "[training]\noptimizer = 'sdg'",
            "training.optimizer = 'sdg' is not possible: allowed is sgd, adam, adamw, or",
        ),
        ("[training]\nlearning_rate = nan", "training.learning_rate = nan is not possible: allowed is 1e-09 to 1000"),
        ("[imc.adc]\nrange = 1.5", "imc.adc.range = 1.5 is not possible: allowed is 1.526e-05 to 1"),
        ("[imc.array]\nrows = 70000", "imc.array.rows = 70000 is not possible: allowed is 1 to 65536"),
        ("[imc.array]\nreplicate = 1", "imc.array.replicate = 1 is not possible: it should be a valid boolean"),
        ("training = 5", "training = 5 is not possible: it should be a table"),
        ("[imc]\nrules = 'stem'", "imc.rules = 'stem' is not possible: it should be a list"),
        ("[[imc.rules]]\npath = 'float'", "imc.rules.0.match is missing"),
        ("[[imc.rules]]\nmatch = 'a'\npath = 'analog'", "imc.rules.0.path = 'analog' is not possible: allowed is "),
        ("name = 'a/b'", "name = 'a/b' is not possible: it should be letters, digits,"),
        ("seed = 1.5", "seed = 1.5 is not possible: it should be a valid integer"),
        ("[training]\nepochs = 3\nwarmup_epochs = 4", "training: warmup_epochs = 4.0 is more than epochs = 3"),
    ],
)
def test_a_wrong_value_names_key_value_and_what_is_allowed(tmp_path, text, says):
    assert f"config {tmp_path / 'experiment.toml'}: {says}" in message(tmp_path, text)


def test_broken_toml_names_the_line(tmp_path):
    assert "not valid TOML: " in message(tmp_path, "name = 'a'\n[data\n")
    assert "line 2" in message(tmp_path, "name = 'a'\n[data\n")


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_file_that_cannot_be_read_is_told(tmp_path, kind):
    path = tmp_path / "experiment.toml"
    if kind == "folder":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"cannot be read \(.*\): give an experiment's TOML file"):
        load_config(path)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (
            "training.epoch=3",
            "with --set training.epoch=3: training.epoch is an unknown key; the nearest is training.ep",
        ),
        (
            "training.epochs=0",
            "with --set training.epochs=0: training.epochs = 0 is not possible: allowed is 1 to",
        ),
        (
            "training.epochs=ten",
            "with --set training.epochs=ten: training.epochs = 'ten' is not possible: it should be",
        ),
        ("training.epochs", "--set training.epochs: give KEY=VALUE, such as training.epochs=5"),
        ("training..epochs=1", "--set training..epochs=1: give KEY=VALUE"),
        ("name.x=1", "--set name.x=1: name is no table"),
        ("imc.rules.1.path=float", "--set imc.rules.1.path=float: '1' is no position in a list of 1: give 0 to 0"),
    ],
)
def test_a_wrong_override_names_file_and_override(tmp_path, override, says):
    found = message(tmp_path, "name = 'x'\n[[imc.rules]]\nmatch = 'stem'\npath = 'float'", override)
    assert says in found


def test_a_mistake_in_the_file_is_not_blamed_on_an_override(tmp_path):
    assert "--set" not in message(tmp_path, "[training]\nepochs = 0", "seed=3")


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.epochs=5", lambda c: c.training.epochs == 5),
        ("training.learning_rate=1", lambda c: c.training.learning_rate == 1.0),
        ("model.name=vit", lambda c: c.model.name == "vit"),
        ('model.name="vit"', lambda c: c.model.name == "vit"),
        ("data.augment.flip=true", lambda c: c.data.augment.flip is True),
        ("data.augment={flip=true, crop=2}", lambda c: c.data.augment.crop == 2),
        ("imc.rules.0.path=digital", lambda c: c.imc.rules[0].path == "digital"),
        ('imc.rules=[{match="head", path="float"}]', lambda c: [r.match for r in c.imc.rules] == ["head"]),
    ],
)
def test_an_override_wins_over_the_file(tmp_path, override, read):
    text = "[training]\nepochs = 2\n[[imc.rules]]\nmatch = 'stem'\npath = 'float'"
    assert read(load(tmp_path, text, override))


def test_hardware_keys_of_a_rule_may_be_written_as_tables(tmp_path):
    quoted = load(tmp_path, "[[imc.rules]]\nmatch = 'stem'\noverrides = { 'adc.bits' = 10, 'noise.scale' = 0.5 }")
    tables = load(tmp_path, "[[imc.rules]]\nmatch = 'stem'\noverrides.adc.bits = 10\noverrides.noise.scale = 0.5")
    assert quoted.imc.rules[0].overrides == {"adc.bits": 10, "noise.scale": 0.5}
    assert tables == quoted


def test_every_shipped_experiment_is_valid():
    files = [path for path in sorted((ROOT / "experiments").rglob("*.toml")) if not path.name.endswith(".sweep.toml")]
    assert files
    for path in files:
        load_config(path)


@given(
    epochs=st.integers(1, 10**6),
    rate=st.floats(1e-9, 1e3),
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    folder=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    scale=st.floats(0, 1e3),
)
def test_a_config_survives_toml(tmp_path_factory, epochs, rate, name, folder, scale):
    config = validate_config(
        {
            "name": name,
            "training": {"epochs": epochs, "learning_rate": rate},
            "data": {} if folder is None else {"data_dir": folder},
            "imc": {"rules": [{"match": "stem", "overrides": {"noise": {"scale": scale}}}]},
        },
        "test",
    )
    path = tmp_path_factory.mktemp("toml") / "config.toml"
    path.write_text(dump_toml(config), encoding="utf-8")
    assert load_config(path) == config
    assert config_hash(load_config(path)) == config_hash(config)


def test_the_hash_depends_on_content_alone(tmp_path):
    base = load(tmp_path, "[training]\nepochs = 10\n")
    assert config_hash(base) == config_hash(load(tmp_path, "# the default\n"))
    assert config_hash(base) != config_hash(load(tmp_path, "", "training.epochs=11"))


def test_the_schema_knows_every_key():
    schema = Config.model_json_schema()

    def keys(node, prefix=""):
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        for name, inner in node["properties"].items():
            target = inner.get("items", inner)
            if "$ref" in target:
                yield from keys(target, f"{prefix}{name}.")
            else:
                yield prefix + name

    assert sorted(keys(schema)) == sorted(known_keys())
    assert json.dumps(schema)
    assert schema["additionalProperties"] is False


def test_configs_with_tables_can_be_looked_up(tmp_path):
    """An evaluation shares what configs have in common by their hash."""
    rules = "imc.rules = [{match = 'stem', path = 'float'}, {match = 'h*', overrides = {'adc.bits' = 6}}]\n"
    rules += "model = {name = 'mlp', arguments = {}}\n"
    config, again = (load(tmp_path, rules) for _ in range(2))
    assert {config: 1}[again] == 1
    assert load(tmp_path, rules, "imc.adc.bits=7") not in {config}
