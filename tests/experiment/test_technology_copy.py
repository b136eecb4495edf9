"""Runs and sweeps keep a copy of a technology file: they cost the same when the file has moved away."""

from __future__ import annotations

import json

import pytest

from imctrain.experiment.technology_copy import keep_technology, with_own_files
from imctrain.records.layout import RunFiles
from imctrain.settings import Config
from imctrain.settings.experiment import CostConfig
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.trial import Trial
from imctrain.technology import load_technology


@pytest.fixture
def named(tmp_path):
    """A config beside a technology file of its own, which rests on a shipped one."""
    text = {"schema_version": "1.0", "name": "mine", "base": "laws-28nm"}
    shipped = json.loads(load_technology("laws-28nm").model_dump_json(by_alias=True, exclude_none=True))
    content = {key: value for key, value in shipped.items() if key not in ("energy", "time", "area")} | text
    content["energy"] = {"write_bit": shipped["energy"]["write_bit"]}
    (tmp_path / "mine.json").write_text(json.dumps(content))
    return Config(cost=CostConfig(technology="mine.json"))


def test_a_run_keeps_its_technology_whole(tmp_path, named):
    run = RunFiles(tmp_path / "run")
    run.folder.mkdir()
    before = load_technology("mine.json", tmp_path)
    keep_technology(named, tmp_path, run)
    (tmp_path / "mine.json").unlink()
    after = load_technology(with_own_files(named, run).cost.technology)
    assert after.base is None
    assert (after.name, after.energy, after.time, after.area) == (before.name, before.energy, before.time, before.area)


def test_a_shipped_one_needs_no_copy(tmp_path):
    run = RunFiles(tmp_path)
    keep_technology(Config(), tmp_path, run)
    assert not run.technology.exists()
    assert with_own_files(Config(), run) == Config()


def test_a_sweep_keeps_the_file_in_its_own_folder(tmp_path, named):
    folder = SweepFolder(tmp_path / "sweep")
    (key,) = folder.add("s", [Trial(named, None, "a", {})], tmp_path)
    (tmp_path / "mine.json").unlink()
    config = folder.config(key)
    assert config.cost.technology.startswith("calibrations/mine-technology-")
    assert load_technology(config.cost.technology, folder.path).name == "mine"
