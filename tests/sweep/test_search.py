"""Searches: what is proposed, trained, stopped and chosen; stopped and continued at any moment, the study is right.

Trainings of known accuracy stand for real ones (`stub_pool`); one real search is at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from run_tools import call, spawn, write
from stub_pool import Killed, StubPool
from tiers import slow

import imctrain
from imctrain.errors import UserError
from imctrain.intervals import wilson
from imctrain.records.result import Pruned, Result
from imctrain.settings import Config
from imctrain.sweep import train as sweeps
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.pools import pool_of
from imctrain.sweep.search import asking, run
from imctrain.sweep.search.answer import Answer
from imctrain.sweep.search.candidates import Candidate, Outcome
from imctrain.sweep.search.judge import front
from imctrain.sweep.search.pruning import Peer, buys_less
from imctrain.sweep.search.spec import read_question
from imctrain.sweep.search.study import Study, searching
from imctrain.sweep.spec import read_sweep
from imctrain.sweep.supply import Planned
from imctrain.units import joules

BASE = """
name = "tiny"
tensorboard = false
data = { name = "digits", batch_size = 32, eval_batch_size = 180, train_limit = 400, validation = 0.2 }
model = { name = "mlp", width = 16 }
training = { epochs = 8, log_every = 8 }
imc.path = "exact"
imc.calibration = "ideal"
imc.array = { replicate = true }
imc.adc = { range_policy = "per_site" }
"""
SEARCH = """
config = "tiny.toml"
references = ["float"]
[search]
trials = 12
startup = 4
objective = "pareto"
[search.space]
"imc.adc.bits" = { int = [4, 10] }
"imc.noise.sigma_lsb" = { float = [0.1, 2.0], log = true }
"""
LEAST = SEARCH.replace('objective = "pareto"', 'objective = "least_energy"\nwithin_points = 2.0')
ACCURACY = SEARCH.replace('objective = "pareto"', 'objective = "accuracy"')
STEPS = 8 * (320 // 32)
"""Of a whole training of BASE."""


def energy(config: Config, config_dir: Path) -> float:
    """A converter's law: four times as much a bit, less with noise. J a step."""
    bits, sigma = config.imc.adc.bits or 8, config.imc.noise.sigma_lsb or 0.25
    return 1e-6 * 4.0 ** (bits - 8) / sigma


def accuracy(config: Config) -> float:
    """Better with bits, worse with noise; best for float."""
    if config.imc.path == "float":
        return 0.98
    bits, sigma = config.imc.adc.bits or 8, config.imc.noise.sigma_lsb or 0.25
    return float(0.97 - 0.05 * max(0, 7 - bits) - 0.1 * max(0.0, sigma - 0.5) - 0.001 * seed_of(config))


def seed_of(config: Config) -> int:
    return config.seed


def ask(tmp_path: Path, text: str = SEARCH, base: str = BASE):
    write(tmp_path, base)
    (tmp_path / "tiny.sweep.toml").write_text(text)
    return read_question(tmp_path / "tiny.sweep.toml")


def find(tmp_path: Path, text: str = SEARCH, out: str = "out", pool: StubPool | None = None, **options) -> tuple:
    """(answer, pool, folder) of a search with stub trainings."""
    folder = SweepFolder(tmp_path / out)
    pool = pool or StubPool(folder, accuracy)
    pool.sweep = folder
    question = ask(tmp_path, text)
    answer = run.search(question, folder, pool, Console(quiet=True), energy=options.pop("energy", energy), **options)
    return answer, pool, folder


@pytest.fixture(autouse=True)
def look_at_every_epoch(monkeypatch):
    monkeypatch.setattr(asking, "LOOK_SECONDS", 0.0)


def study_of(folder: SweepFolder, question) -> Study:
    planned = folder.keys()
    base = next(labels["tiny"]["base"] for labels in map(folder.labels, planned) if "tiny" in labels)
    return Study(folder.files.study("tiny"), f"tiny-{question.identity(base)}", question.search)


def trials_of(folder: SweepFolder, question) -> list:
    return study_of(folder, question)._trials()


def searched(folder: SweepFolder) -> dict[str, dict]:
    """{key: settings} of what a search asked for."""
    found, planned = {}, folder.keys()
    for key in planned:
        label = folder.labels(key).get("tiny")
        if label and label["variant"] == "search":
            found[key] = label["axes"]
    return found


# Files.


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[search]\n", "[find]\n", "find is an unknown key|it has no table"),
        ("trials = 12", "trial = 12", "search.trial is an unknown key; allowed: trials, objective"),
        ("trials = 12", "trials = 0", "search.trials = 0"),
        ("trials = 12", "trials = 12\nwithin_points = 2", "'least_energy' and within_points go together"),
        ("trials = 12", "trials = 12\nenergy_limit_j = 1\nenergy_limit_ratio = 1", "not both"),
        ("trials = 12", "trials = 12\nreference = 'digital'", "'digital' is not trained here; allowed: float, recipe"),
        ("int = [4, 10]", "int = [10, 4]", "the lowest, 10, must be below the highest, 4"),
        ("int = [4, 10]", "int = [4, 10], choice = [4, 5]", "give one of int, float and choice"),
        ("int = [4, 10]", "whole = [4, 10]", "whole is an unknown key; allowed: int, float, choice, log, step"),
        ("float = [0.1, 2.0], log = true", "float = [0.0, 2.0], log = true", "log needs a lowest above 0"),
        ("imc.adc.bits", "imc.adc.bit", "search.space.imc.adc.bit is an unknown key; the nearest is imc.adc.bits"),
        ('"imc.adc.bits" = { int = [4, 10] }', "seed = { int = [0, 9] }", "search.space.seed cannot be searched"),
        ('"imc.adc.bits" = { int = [4, 10] }', '"data.test_limit" = { int = [1, 9] }', "cannot be searched"),
        ("[search]\n", '[axes]\n"imc.adc.bits" = [4]\n[search]\n', "axes has no place in a search"),
        ("[search]\n", "[variants.search]\n[search]\n", "cannot be called 'search'"),
    ],
)
def test_bad_questions(tmp_path, old, new, message):
    with pytest.raises(UserError, match=message):
        ask(tmp_path, SEARCH.replace(old, new, 1))


@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        (SEARCH, BASE.replace(", validation = 0.2", ""), "chooses by held-out images"),
        (SEARCH, BASE.replace('"exact"', '"float"'), "float training has no array whose energy counts"),
        (SEARCH.replace("[4, 10]", "[4, 99]"), BASE, "search.space.imc.adc.bits: .*imc.adc.bits = ?99"),
        (
            SEARCH.replace("{ int = [4, 10] }", "{ choice = [4, 'many'] }"),
            BASE,
            "search.space.imc.adc.bits: .*'?many'? is not possible",
        ),
    ],
)
def test_impossible_questions_train_nothing(tmp_path, text, base, message):
    folder = SweepFolder(tmp_path / "out")
    with pytest.raises(UserError, match=message):
        run.search(ask(tmp_path, text, base), folder, StubPool(folder, accuracy), Console(quiet=True), energy=energy)
    assert not folder.path.exists()


def test_the_command_tells_errors_in_one_line(tmp_path, monkeypatch, capsys):
    ask(tmp_path)
    path = tmp_path / "tiny.sweep.toml"
    assert call(monkeypatch, "sweep", "file", path, "--out", tmp_path / "out") == 2
    assert "give it to `imctrain sweep search`" in capsys.readouterr().err
    path.write_text(SEARCH.replace("imc.adc.bits", "imc.adc.bitz"))
    assert call(monkeypatch, "sweep", "search", path, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the nearest is imc.adc.bits" in line


def test_without_optuna_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    ask(tmp_path)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert call(monkeypatch, "sweep", "search", tmp_path / "tiny.sweep.toml", "--out", tmp_path / "out") == 2
    assert "pip install 'imctrain[search]'" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path):
    folder = SweepFolder(tmp_path / "out")
    lines = "\n".join(run.dry_run(ask(tmp_path), folder, energy=energy))
    assert "of 100 random settings 100 are possible" in lines
    assert "imc.adc.bits: 4 to 10" in lines
    assert f"of recipe {joules(STEPS * 4e-6)}" in lines
    assert not folder.path.exists()


# What is found.


def test_two_objectives_give_the_front(tmp_path):
    answer, _pool, folder = find(tmp_path)
    every = searched(folder)
    assert len(every) == 12
    # By hand, over what was trained to its end.
    done = {}
    for key, values in every.items():
        if folder.trial(key).is_finished:
            config = folder.config(key)
            done[key] = (accuracy(config), STEPS * energy(config, tmp_path))
            assert values == {
                "imc.adc.bits": config.imc.adc.bits,
                "imc.noise.sigma_lsb": config.imc.noise.sigma_lsb,
            }
    expected = {
        key
        for key, (a, e) in done.items()
        if not any((b >= a and f < e) or (b > a and f <= e) for b, f in done.values())
    }
    assert len(expected) >= 2
    costs = sorted((done[key][1], done[key][0]) for key in expected)
    assert [(line.training_j, line.validation) for line in answer.found] == [pytest.approx(pair) for pair in costs]
    assert [line.training_j for line in answer.found] == sorted(line.training_j for line in answer.found)
    assert [line.name for line in answer.by_hand] == ["recipe", "float"]
    assert answer.against.step_j == pytest.approx(4e-6)


def test_test_images_are_measured_for_the_answer_alone(tmp_path):
    answer, pool, folder = find(tmp_path, LEAST)
    assert len(answer.found) == 1
    # What was chosen, the recipe and the reference: once each, and last of all.
    assert len(pool.tested) == len(set(pool.tested)) == 3
    assert pool.trained[-3:] == pool.tested
    for key in searched(folder):
        if folder.trial(key).is_finished:
            assert Result.read(folder.trial(key).result).test_accuracy is None
    (found,) = answer.found
    assert found.test == pytest.approx(found.validation - 0.01)
    assert found.interval == pytest.approx(wilson(round(200 * found.test), 200))
    assert found.folders[0] in pool.tested
    # The same question again trains nothing, and measures nothing.
    again, second, _ = find(tmp_path, LEAST)
    assert second.trained == []
    assert again.found == answer.found


def test_least_energy_keeps_within_points_of_the_reference(tmp_path):
    answer, pool, folder = find(tmp_path, LEAST.replace("trials = 12", "trials = 30"))
    (found,) = answer.found
    assert 100 * (0.98 - found.validation) <= 2.0 + 1e-9
    trained = [folder.config(key) for key in searched(folder) if folder.trial(key).is_finished]
    within = [STEPS * energy(c, tmp_path) for c in trained if 100 * (0.98 - accuracy(c)) <= 2.0 + 1e-9]
    # The recipe is within the points itself: what is found is cheaper.
    assert found.training_j < answer.against.training_j
    assert found.training_j == pytest.approx(min(within))
    # Nothing that costs more than the least so far was trained: at first, that of the recipe.
    order = [key for key in pool.trained if key in searched(folder)]
    least = STEPS * 4e-6
    for key in order:
        config = folder.config(key)
        cost = STEPS * energy(config, tmp_path)
        assert cost < least
        if folder.trial(key).is_finished and 100 * (0.98 - accuracy(config)) <= 2.0 + 1e-9:
            least = min(least, cost)


def test_nothing_within_the_points_is_said(tmp_path):
    answer, _, _ = find(tmp_path, LEAST.replace("within_points = 2.0", "within_points = 0.5"))
    assert answer.found == ()
    assert "NOTHING WAS FOUND" in answer.markdown()


@pytest.mark.parametrize("limit", ["energy_limit_ratio = 0.5", f"energy_limit_j = {0.5 * STEPS * 4e-6}"])
def test_an_energy_limit_refuses_before_training(tmp_path, limit):
    answer, _pool, folder = find(tmp_path, ACCURACY.replace("trials = 12", f"trials = 12\n{limit}"))
    (found,) = answer.found
    allowed = 0.5 * STEPS * 4e-6
    assert found.training_j <= allowed
    for key in searched(folder):
        assert STEPS * energy(folder.config(key), tmp_path) <= allowed
    question = ask(tmp_path, ACCURACY.replace("trials = 12", f"trials = 12\n{limit}"))
    dear = [t for t in trials_of(folder, question) if t.user_attrs.get("why") == "dear"]
    assert dear
    assert all(t.state.name == "PRUNED" for t in dear)
    best = max(accuracy(folder.config(k)) for k in searched(folder) if folder.trial(k).is_finished)
    assert found.validation == pytest.approx(best)


def test_an_energy_that_nobody_knows_is_said(tmp_path):
    with pytest.raises(UserError, match=r"energy of trial .* is not known"):
        find(tmp_path, energy=lambda config, folder: None)
    answer, *_ = find(tmp_path, ACCURACY, out="other", energy=lambda config, folder: None)
    assert answer.found[0].training_j is None


def test_energy_of_a_result_counts_where_none_is_known_before(tmp_path):
    class Measured(StubPool):
        def _write(self, key, config, accuracy):
            super()._write(key, config, accuracy)
            file = self.sweep.trial(key).result
            step = energy(config, tmp_path)
            Result.read(file).replace(energy_step_j=step, energy_training_j=step * STEPS).write(file)

    pool = Measured(SweepFolder(tmp_path / "out"), accuracy)
    answer, *_ = find(tmp_path, pool=pool, energy=lambda config, folder: None)
    assert all(line.training_j == pytest.approx(line.step_j * STEPS) for line in answer.found)
    assert answer.against.training_j == pytest.approx(4e-6 * STEPS)


def test_several_seeds_are_one_setting(tmp_path):
    answer, _pool, folder = find(
        tmp_path,
        ACCURACY.replace("trials = 12", "trials = 3\nprune = false")
        .replace("[search]\n", "[search]\n")
        .replace('references = ["float"]', "references = []\nseeds = [0, 4]"),
    )
    assert len(searched(folder)) == 6
    (found,) = answer.found
    values = list(searched(folder).values())
    assert all(values.count(v) == 2 for v in values)
    best = max(np.mean([accuracy(folder.config(k)) for k, v in searched(folder).items() if v == w]) for w in values)
    assert found.validation == pytest.approx(best)
    assert found.seeds == 2
    assert len(found.folders) == 2


def test_impossible_combinations_are_told_and_never_trained(tmp_path):
    """The config refuses some proposals, a site's hardware others, and a trial itself some more."""

    def refusing(config: Config, folder: Path) -> float:
        if config.imc.adc.bits == 9:
            raise UserError("site stem: 9 bits are not possible here")
        return energy(config, folder)

    text = (
        SEARCH.replace("{ int = [4, 10] }", "{ int = [8, 10] }")
        + '"training.warmup_epochs" = { choice = [0.0, 5.0] }\n'
    )
    text += '"training.epochs" = { choice = [4, 8] }\n'
    pool = StubPool(SweepFolder(tmp_path / "out"), accuracy, fail=lambda c: 2 if c.imc.adc.bits == 10 else 0)
    answer, pool, folder = find(tmp_path, text, pool=pool, energy=refusing)
    for key in searched(folder):
        config = folder.config(key)
        assert config.imc.adc.bits != 9
        assert config.training.warmup_epochs <= config.training.epochs
    states = {t.state.name for t in trials_of(folder, ask(tmp_path, text)) if t.user_attrs.get("why") == "impossible"}
    assert states == {"PRUNED"}
    refused = [key for key in searched(folder) if folder.status(key).code == 2]
    assert refused
    assert all(folder.config(key).imc.adc.bits == 10 for key in refused)
    assert len(searched(folder)) == 12
    assert "impossible" in answer.markdown()


@pytest.mark.slow
def test_the_space_may_be_smaller_than_the_trials(tmp_path):
    text = ACCURACY.replace('"imc.noise.sigma_lsb" = { float = [0.1, 2.0], log = true }\n', "")
    answer, _pool, folder = find(tmp_path, text.replace("trials = 12", "trials = 50\nprune = false"))
    assert len(searched(folder)) == 7
    assert any("nothing new" in note for note in answer.notes)


@pytest.mark.parametrize("sampler", [slow("tpe"), slow("nsga2"), "random"])
def test_the_same_seed_proposes_the_same(tmp_path, sampler):
    text = SEARCH.replace("trials = 12", f'trials = 12\nsampler = "{sampler}"')
    proposals = []
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        _, pool, folder = find(tmp_path, text.replace("startup = 4", f"startup = 4\nseed = {seed}"), out=out)
        names = searched(folder)
        proposals.append([names[key] for key in pool.trained if key in names])
    assert proposals[0] == proposals[1] != proposals[2]


@pytest.mark.slow
def test_tpe_learns(tmp_path):
    """Over five seeds, settings that TPE chose are better than random ones, by far more than chance."""
    gained = []
    for seed in range(5):
        means = []
        for sampler in ("tpe", "random"):
            text = ACCURACY.replace("trials = 12", f'trials = 30\nsampler = "{sampler}"\nprune = false')
            _, pool, folder = find(
                tmp_path, text.replace("startup = 4", f"startup = 8\nseed = {seed}"), out=f"{sampler}{seed}"
            )
            names = [key for key in pool.trained if key in searched(folder)]
            means.append(np.mean([accuracy(folder.config(key)) for key in names[15:]]))
        gained.append(means[0] - means[1])
    assert np.mean(gained) > 0.01


# Stopped and continued.


@pytest.mark.parametrize("text", [SEARCH, LEAST, ACCURACY], ids=["pareto", "least_energy", "accuracy"])
@pytest.mark.parametrize("after", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(9, marks=pytest.mark.slow)])
def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path, text, after):
    whole, _, straight = find(tmp_path, text, out="straight")
    folder = SweepFolder(tmp_path / "out")
    pool = StubPool(folder, accuracy, die_after=after)
    with pytest.raises(Killed):
        find(tmp_path, text, pool=pool)
    before = {path.parent.name: path.stat().st_mtime_ns for path in folder.path.glob("trials/*/result.json")}
    answer, second, _ = find(tmp_path, text)
    assert not set(before) & set(second.trained)
    assert searched(folder) == searched(straight)
    assert answer.found == whole.found


def test_a_search_is_killed_between_the_result_and_the_study(tmp_path, monkeypatch):
    whole, _, straight = find(tmp_path, out="straight")
    told = Study.tell
    calls = []

    def dying(self, *arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise Killed
        told(self, *arguments)

    monkeypatch.setattr(Study, "tell", dying)
    with pytest.raises(Killed):
        find(tmp_path)
    monkeypatch.setattr(Study, "tell", told)
    answer, _pool, folder = find(tmp_path)
    question = ask(tmp_path)
    assert [t.params for t in trials_of(folder, question)] == [t.params for t in trials_of(straight, question)]
    assert [t.values for t in trials_of(folder, question)] == [t.values for t in trials_of(straight, question)]
    assert answer.found == whole.found


@pytest.mark.slow
def test_half_a_line_at_the_journals_end_is_dropped(tmp_path):
    answer, *_ = find(tmp_path)
    journal = tmp_path / "out" / "search" / "tiny.journal"
    whole = journal.read_bytes()
    with journal.open("ab") as stream:
        stream.write(b'{"op_code":4,"work')
    again, pool, _ = find(tmp_path)
    assert pool.trained == []
    assert journal.read_bytes().startswith(whole)
    assert again.found == answer.found
    journal.write_text("no journal\n")
    with pytest.raises(UserError, match=r"is no journal of a study .*: delete it"):
        find(tmp_path)
    # Without it, finished trials are told anew.
    journal.unlink()
    again, pool, _folder = find(tmp_path)
    assert again.found == answer.found


@pytest.mark.slow
def test_a_search_is_extended(tmp_path):
    _, first, folder = find(tmp_path)
    _answer, second, _ = find(tmp_path, SEARCH.replace("trials = 12", "trials = 20"))
    assert len(searched(folder)) == 20
    assert not set(first.trained) & set(second.trained)
    # As far as the seed goes, it is the search that had 20 trials at once.
    _whole, _, straight = find(tmp_path, SEARCH.replace("trials = 12", "trials = 20"), out="straight")
    assert searched(folder) == searched(straight)


def test_another_question_of_the_same_folder_uses_what_is_there(tmp_path):
    _, first, folder = find(tmp_path, SEARCH.replace("trials = 12", "trials = 12\nprune = false"))
    answer, second, _ = find(tmp_path, LEAST)
    told = [t for t in trials_of(folder, ask(tmp_path, LEAST)) if t.state.name == "COMPLETE"]
    assert len(told) >= 12
    assert not set(first.trained) & set(second.trained)
    (found,) = answer.found
    best = min(
        STEPS * energy(folder.config(k), tmp_path)
        for k in searched(folder)
        if folder.trial(k).is_finished and 100 * (0.98 - accuracy(folder.config(k))) <= 2
    )
    assert found.training_j == pytest.approx(best)


@pytest.mark.slow
def test_merged_folders_are_one_search(tmp_path):
    find(tmp_path, out="a")
    find(tmp_path, SEARCH.replace("startup = 4", "startup = 4\nseed = 7"), out="b")
    a, b = SweepFolder(tmp_path / "a"), SweepFolder(tmp_path / "b")
    both = searched(a) | searched(b)
    results = {p.parent.name for f in (a, b) for p in f.path.glob("trials/*/result.json")}
    shutil.copytree(a.path, b.path, dirs_exist_ok=True)
    _answer, pool, folder = find(tmp_path, SEARCH.replace("trials = 12", "trials = 24"), out="b")
    assert both.keys() <= searched(folder).keys()
    assert not results & set(pool.trained)
    question = ask(tmp_path, SEARCH)
    known = [t.params for t in trials_of(folder, question)]
    for key, values in both.items():
        if folder.trial(key).is_finished:
            assert values in known


def test_a_trial_of_another_sweep_is_reused(tmp_path):
    """A sweep trained some of the space before; its folder's trials are not trained again, and count."""
    text = 'config = "tiny.toml"\nname = "grid"\nreferences = []\n[axes]\n"imc.adc.bits" = [4, 5, 6, 7, 8, 9, 10]\n'
    write(tmp_path, BASE)
    (tmp_path / "grid.toml").write_text(text)
    folder = SweepFolder(tmp_path / "out")
    pool = StubPool(folder, accuracy)
    spec = read_sweep(tmp_path / "grid.toml")
    keys = sweeps.plan(folder, spec)
    sweeps.run(folder, keys, pool, Console(quiet=True))
    assert len(pool.trained) == 7
    small = SEARCH.replace('"imc.noise.sigma_lsb" = { float = [0.1, 2.0], log = true }\n', "").replace("12", "7")
    # The name of the experiment is no part of a trial's key.
    answer, second, _ = find(tmp_path, small)
    assert not set(second.trained) & set(keys)
    assert set(searched(folder)) == set(keys)
    assert all(set(folder.labels(key)) >= {"grid", "tiny"} for key in keys)
    assert len(answer.found) >= 2


def test_one_process_at_a_time_searches(tmp_path):
    with (
        searching(tmp_path / "out" / "search" / "tiny.journal"),
        pytest.raises(UserError, match="is being searched by another process"),
    ):
        find(tmp_path)


# Pruning.


@pytest.mark.parametrize("text", [slow(SEARCH, id="pareto"), pytest.param(ACCURACY, id="accuracy")])
def test_what_falls_behind_is_stopped_and_kept(tmp_path, text):

    def wasteful(config: Config, config_dir: Path) -> float:
        """Of a chip whose coarse converters cost most: what costs more is worse, too."""
        return 1e-6 * (20 - (config.imc.adc.bits or 8))

    _answer, pool, folder = find(tmp_path, text.replace("trials = 12", "trials = 40"), energy=wasteful)
    pruned = [key for key in searched(folder) if folder.status(key).state == "pruned"]
    assert pruned
    for key in pruned:
        # Not before a quarter of its epochs, and before its end.
        assert 2 < pool.epochs[key] < 8
        assert not folder.trial(key).is_finished
        note = json.loads(folder.trial(key).pruned.read_text())
        assert note["epoch"] == pool.epochs[key]
        assert "fell behind" in note["reason"]
    states = [t.state.name for t in trials_of(folder, ask(tmp_path, text)) if "why" not in t.user_attrs]
    assert states.count("PRUNED") == len(pruned)
    # `sweep resume` leaves them; a sweep that wants one trains it to its end.
    sweeps.run(folder, pruned, second := StubPool(folder, accuracy), Console(quiet=True))
    assert second.trained == []
    config = folder.config(pruned[0])
    values = f'"imc.adc.bits" = [{config.imc.adc.bits}]\n"imc.noise.sigma_lsb" = [{config.imc.noise.sigma_lsb!r}]'
    (tmp_path / "one.toml").write_text(f'config = "tiny.toml"\nname = "one"\nreferences = []\n[axes]\n{values}\n')
    (key,) = sweeps.plan(folder, read_sweep(tmp_path / "one.toml"))
    assert key == pruned[0]
    sweeps.run(folder, [key], second, Console(quiet=True))
    assert folder.trial(key).is_finished
    assert folder.status(key).state == "done"


def test_without_pruning_every_trial_ends(tmp_path):
    _, _pool, folder = find(tmp_path, SEARCH.replace("trials = 12", "trials = 20\nprune = false"))
    assert all(folder.trial(key).is_finished for key in searched(folder))


def test_the_rule_compares_with_what_costs_no_more():
    peers = [Peer(1.0, (0.2, 0.4, 0.6)), Peer(2.0, (0.3, 0.5, 0.7)), Peer(9.0, (0.9, 0.9, 0.9))]
    worse, better = (0.1, 0.35), (0.1, 0.46)
    assert buys_less(worse, 2.0, peers, startup=2, warmup=1)
    assert not buys_less(better, 2.0, peers, startup=2, warmup=1)
    # Cheaper than all, too few to compare with, too early: never.
    assert not buys_less(worse, 0.5, peers, startup=1, warmup=1)
    assert not buys_less(worse, 2.0, peers, startup=3, warmup=1)
    assert not buys_less(worse, 2.0, peers, startup=2, warmup=2)
    # A dear one is compared with dear ones too, and its best counts.
    assert buys_less(better, 9.0, peers, startup=3, warmup=1)
    assert not buys_less((0.6, 0.1), 9.0, peers, startup=3, warmup=1)


def test_a_trial_that_breaks_off_does_not_hang_the_search(tmp_path):
    """Its process ends without a word, such as on an import that fails."""

    class Silent(StubPool):
        def _train(self, key, tick):
            if self.sweep.config(key).imc.adc.bits in (4, 5):
                self.trained.append(key)
                return
            super()._train(key, tick)

    pool = Silent(SweepFolder(tmp_path / "out"), accuracy)
    _answer, pool, folder = find(tmp_path, SEARCH.replace("trials = 12", "trials = 15"), pool=pool)
    failed = [key for key in searched(folder) if folder.status(key).state == "failed"]
    assert failed
    assert "ended without a result" in folder.status(failed[0]).error
    diverged = StubPool(SweepFolder(tmp_path / "two"), accuracy, fail=lambda c: 3 if c.imc.adc.bits in (4, 5) else 0)
    _, _, folder = find(tmp_path, SEARCH.replace("trials = 12", "trials = 15"), out="two", pool=diverged)
    assert any(folder.status(key).code == 3 for key in searched(folder))


# Parts.


def row(accuracy: float, cost: float):
    return Candidate("search", {}, ()), Outcome("done", accuracy=accuracy, training_j=cost)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 6)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(points):
    rows = [row(a / 10, float(e)) for a, e in points]
    found = [(r[1].accuracy, r[1].training_j) for r in front(rows)]
    every = {(r[1].accuracy, r[1].training_j) for r in rows}
    expected = {(a, e) for a, e in every if not any(b >= a and f <= e and (b, f) != (a, e) for b, f in every)}
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1234 J"), (1.5, "1.5 J"), (2.5e-5, "25 uJ"), (3e-13, "0.3 pJ"), (0.0, "0 pJ")]
)
def test_joules(value, text):
    assert joules(value) == text


def test_the_answer_is_a_table_and_a_file(tmp_path):
    answer, _, folder = find(tmp_path, LEAST)
    assert isinstance(answer, Answer)
    path = answer.write(folder.files.results, "tiny")
    text = path.read_text()
    header = next(line for line in text.splitlines() if "validation |" in line)
    assert (
        "| bits | sigma_lsb | validation | test | 95 % interval | energy a step | of the training | over recipe |"
        in header
    )
    (line,) = (line for line in text.splitlines() if line.startswith("| found"))
    assert f"{100 * answer.found[0].validation:.2f} %" in line
    plain = json.loads(path.with_suffix(".json").read_text())
    assert plain["found"][0]["training_j"] == answer.found[0].training_j
    # Tables of the sweep, as after any other one.
    from imctrain.report.sweep_results import write_results

    write_results(folder.path)
    rows = json.loads((folder.files.results / "tiny.json").read_text())
    assert rows["measured"] == "validation accuracy"
    assert "mixed" not in rows
    assert "mixed" not in json.loads((folder.files.results / "tiny-tested.json").read_text())
    frame = imctrain.load_results(folder.path)
    assert set(frame["sweep"]) == {"tiny", "tiny-tested"}


# For real.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray"])
def test_a_trial_in_a_process_of_its_own_is_stopped_and_goes_on(tmp_path, name):
    """Whoever writes pruned.json stops it, as a signal would; a sweep that wants it continues from its checkpoint."""
    if name == "ray":
        pytest.importorskip("ray")
    write(tmp_path, BASE.replace('"exact"', '"float"').replace("epochs = 8", "epochs = 400"))
    (tmp_path / "one.toml").write_text('config = "tiny.toml"\nname = "one"\nreferences = []\n')
    folder = SweepFolder(tmp_path / "out")
    spec = read_sweep(tmp_path / "one.toml")
    (key,) = sweeps.plan(folder, spec)
    pool = pool_of(folder, name, 1)

    def tick() -> None:
        if folder.status(key).epoch >= 2 and not folder.trial(key).pruned.is_file():
            folder.prune(key, Pruned(epoch=2, accuracy=0.5, reason="for a test"))

    pool.run(Planned([key]), tick, lambda: False)
    assert folder.status(key).state == "pruned"
    steps = [int(path.name) for path in folder.trial(key).checkpoints.iterdir() if path.name.isdigit()]
    assert 0 < max(steps) < 400 * 10
    before = folder.status(key).epoch
    sweeps.plan(folder, spec)
    pool.run(Planned([key]), lambda: None, lambda: folder.status(key).epoch > before)
    assert folder.status(key).state in ("stopped", "done")
    assert f"continuing after step {max(steps)}" in folder.trial(key).log.read_text()


@pytest.mark.slow
def test_a_real_search(tmp_path):
    """Digits, a float network and the command: killed once, continued, its answer met the test images."""
    text = ACCURACY.replace("trials = 12", "trials = 3").replace('"imc.adc.bits" = { int = [4, 10] }\n', "")
    text = text.replace(
        '"imc.noise.sigma_lsb" = { float = [0.1, 2.0], log', '"training.learning_rate" = { float = [0.001, 0.3], log'
    )
    ask(tmp_path, text, BASE.replace('"exact"', '"float"'))
    out = tmp_path / "out"
    command = ["-m", "imctrain.cli", "sweep", "search", str(tmp_path / "tiny.sweep.toml"), "--out", str(out), "-j", "1"]
    home = str(Path(imctrain.__file__).parents[1])
    process = subprocess.Popen(
        [sys.executable, *command], env=os.environ | {"PYTHONPATH": home}, stdout=subprocess.DEVNULL
    )
    folder = SweepFolder(out)
    deadline = time.monotonic() + 240
    while not any(folder.trial(key).is_finished for key in searched(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.kill()
    process.wait()
    before = {p.parent.name: p.stat().st_mtime_ns for p in out.glob("trials/*/result.json")}
    done = spawn("sweep", "search", tmp_path / "tiny.sweep.toml", "--out", out, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert len(searched(folder)) == 3
    assert before.items() <= {p.parent.name: p.stat().st_mtime_ns for p in out.glob("trials/*/result.json")}.items()
    assert "| found |" in done.stdout
    (found,) = json.loads((out / "results" / "tiny-search.json").read_text())["found"]
    results = {key: Result.read(folder.trial(key).result) for key in searched(folder) if folder.trial(key).is_finished}
    tested = results | {key: Result.read(folder.trial(key).result) for key in found["folders"]}
    (last,) = (tested[key] for key in found["folders"])
    assert found["validation"] == max(r.validation_accuracy for r in results.values())
    assert (found["test"], found["images"]) == (last.test_accuracy, last.test_images)
    # No step was trained again for the test images.
    assert last.validation_accuracy == found["validation"]
    assert "continuing after step 80" in folder.trial(found["folders"][0]).log.read_text()
    assert not list(out.glob("trials/*/checkpoints"))
