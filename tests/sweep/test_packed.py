"""Finished trials in one file: whoever reads the sweep's folder sees the same, and a damaged file is told."""

import shutil
from pathlib import Path

import pytest
from kept_results import write_result
from run_tools import call

from imctrain.errors import UserError
from imctrain.records import packed
from imctrain.records.layout import ARCHIVE
from imctrain.records.packed import contents, pack, unpack
from imctrain.records.runs import gather
from imctrain.records.sweeps import rows_of
from imctrain.settings import Config, frozen_imc
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.trial import Trial


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    packed._unpacked.cache_clear()


def trials_of(seeds):
    return [Trial(Config(seed=seed, imc=frozen_imc(path="digital")), None, "plain", {"a.b": seed}) for seed in seeds]


def sweep_folder(path: Path, finished=(0, 1), planned=(0, 1, 2)) -> tuple[SweepFolder, list[str]]:
    """A sweep of three trials, two of them finished."""
    from imctrain.settings import dump_toml

    folder = SweepFolder(path)
    trials = trials_of(planned)
    keys = folder.add("noise", trials, path)
    for seed in finished:
        trial = folder.trial(keys[seed]).folder
        (trial / "checkpoints" / "8").mkdir(parents=True)
        (trial / "checkpoints" / "8" / "state").write_bytes(b"x" * 1000)
        (trial / "config.toml").write_text(dump_toml(trials[seed].config))
        (trial / "metrics.jsonl").write_text(
            '{"kind": "epoch", "step": 8, "epoch": 1, "loss": 1.0, "accuracy": 0.5, "seconds": 2.0}\n'
        )
        (trial / "learning_curve.png").write_bytes(b"png")
        write_result(trial, test_accuracy=0.5 + seed / 100)
    return folder, keys


def test_what_is_read_is_the_same_packed_and_unpacked(tmp_path):
    folder, keys = sweep_folder(tmp_path)
    before = [(r.folder, r.config, r.result, r.labels, r.sweep_folder) for r in gather(tmp_path)]
    rows, states = rows_of(gather(tmp_path), "noise"), [folder.status(key).state for key in keys]
    assert states == ["done", "done", "waiting"]
    target, count = pack(tmp_path)
    assert (target, count) == (tmp_path / ARCHIVE, 2)
    assert [path.name for path in (tmp_path / "trials").glob("*")] == []
    assert [path.stem for path in (tmp_path / "plan").glob("*")] == [keys[2]]
    found = gather(tmp_path)
    assert [(r.folder, r.config, r.result, r.labels, r.sweep_folder) for r in found] == before
    assert all(record.files.metrics.is_file() for record in found)
    assert not list(contents(tmp_path).folder.rglob("*.png"))
    assert not list(contents(tmp_path).folder.rglob("checkpoints"))
    folder = SweepFolder(tmp_path)
    assert rows_of(found, "noise") == rows
    assert [folder.status(key).state for key in keys] == states
    assert folder.keys() == sorted(keys)
    assert [folder.config(key).seed for key in keys] == [0, 1, 2]
    assert unpack(tmp_path) == 2
    assert not target.exists()
    assert [(r.folder, r.config, r.result, r.labels, r.sweep_folder) for r in gather(tmp_path)] == before
    assert all(record.files.folder == record.folder for record in gather(tmp_path))


def test_a_packed_sweep_is_extended_renamed_and_packed_again(tmp_path):
    _, keys = sweep_folder(tmp_path)
    first = pack(tmp_path)[0].read_bytes()
    folder, more = sweep_folder(tmp_path, finished=(3,), planned=(0, 1, 2, 3))
    assert more[:3] == keys
    assert folder.status(more[0]).state == "done"
    # The plans of packed trials are written anew, with their labels; a second name comes beside the first.
    folder.add("again", trials_of((0,)), tmp_path)
    assert set(folder.labels(keys[0])) == {"noise", "again"}
    assert pack(tmp_path)[1] == 1
    assert len(gather(tmp_path)) == 3
    assert set(SweepFolder(tmp_path).labels(keys[0])) == {"noise", "again"}
    again = (tmp_path / ARCHIVE).read_bytes()
    assert again != first
    unpack(tmp_path)
    pack(tmp_path)
    assert (tmp_path / ARCHIVE).read_bytes() == again, "the same files make the same archive"


def test_a_trial_that_was_trained_again_stands_for_the_packed_one(tmp_path):
    _, keys = sweep_folder(tmp_path)
    pack(tmp_path)
    trial = tmp_path / "trials" / keys[0]
    shutil.copytree(contents(tmp_path).trial(keys[0]).folder, trial)
    write_result(trial, test_accuracy=0.9)
    assert SweepFolder(tmp_path).status(keys[0]).accuracy == 0.9
    assert sorted(record.accuracy for record in gather(tmp_path)) == [0.51, 0.9]
    pack(tmp_path)
    assert sorted(record.accuracy for record in gather(tmp_path)) == [0.51, 0.9]


def test_bad_archives_are_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(UserError, match="has no finished trial to pack"):
        pack(tmp_path)
    with pytest.raises(UserError, match=r"has no trials\.tar\.xz"):
        unpack(tmp_path)
    sweep_folder(tmp_path)
    target, _ = pack(tmp_path)
    whole = target.read_bytes()
    for bad in (whole[: len(whole) // 2], b"not an archive", b""):
        target.write_bytes(bad)
        packed._unpacked.cache_clear()
        with pytest.raises(UserError, match=r"trials\.tar\.xz is damaged or no archive of trials: restore it, or"):
            gather(tmp_path)
    assert call(monkeypatch, "sweep", "unpack", tmp_path) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    target.write_bytes(whole)
    assert call(monkeypatch, "sweep", "unpack", tmp_path) == 0
    assert "2 trials unpacked" in capsys.readouterr().out
    assert call(monkeypatch, "sweep", "pack", tmp_path) == 0
    assert "2 trials packed" in capsys.readouterr().out
