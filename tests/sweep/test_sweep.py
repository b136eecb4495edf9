"""Sweeps: every trial once, however it is stopped, extended or merged; failures do not stop the rest."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from run_tools import assert_same_bits, call, metrics, spawn, write

import imctrain
from imctrain.errors import UserError
from imctrain.settings import dump_toml, load_config
from imctrain.sweep.base import marks_of
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.search.candidates import Candidates
from imctrain.sweep.search.spec import read_question
from imctrain.sweep.spec import expand, make_spec, parse_axis, read_sweep, toml_literal
from imctrain.sweep.trial import same_training, trial_key
from imctrain.training.damage import sums

BASE = """
name = "tiny"
tensorboard = false
data = { name = "digits", batch_size = 32, eval_batch_size = 180, train_limit = 256 }
model = { name = "mlp", width = 16 }
training = { epochs = 2, log_every = 8 }
imc.path = "exact"
imc.calibration = "ideal"
imc.array = { replicate = true }
imc.adc = { range_policy = "fixed" }
"""
# Checkpoints every epoch, long enough to be stopped on the way; in float, which compiles fastest.
LONG = BASE.replace("epochs = 2", "epochs = 60").replace('"exact"', '"float"')
SWEEP = """
config = "tiny.toml"
references = ["float", "digital"]
[axes]
"imc.noise.sigma_lsb" = [0.5, 1.0, 2.0]
[variants.plain]
"imc.mapping.gradient" = "grouped"
[variants.best]
"imc.adc.range_policy" = "per_site"
"""


def spec_of(tmp_path: Path, text: str = SWEEP, base: str = BASE, name: str = "noise.toml"):
    write(tmp_path, base)
    (tmp_path / name).write_text(text)
    return read_sweep(tmp_path / name)


def results(folder: Path) -> dict[str, int]:
    """When each trial's result was written."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("trials/*/result.json")}


def test_a_sweep_expands_to_every_combination_and_shared_references(tmp_path):
    trials = expand(spec_of(tmp_path, "seeds = [0, 1]\n" + SWEEP))
    assert len(trials) == 2 * (2 + 3 * 2)
    assert [t.reference for t in trials[:4]] == ["float", "digital", "float", "digital"]
    floats = [t for t in trials if t.reference == "float"]
    assert all(t.config.imc.path == "float" and t.config.imc.rules == () for t in floats)
    one = next(t for t in trials if t.variant == "plain" and t.axes["imc.noise.sigma_lsb"] == 1.0)
    assert (one.config.imc.mapping.gradient, one.config.imc.noise.sigma_lsb) == ("grouped", 1.0)
    assert len({t.key for t in trials}) == len(trials)


def test_combinations_can_be_left_out(tmp_path):
    text = (
        SWEEP
        + """
[[exclude]]
variant = "best"
"imc.noise.sigma_lsb" = [0.5, 1.0]
"""
    )
    left = [(t.variant, t.axes["imc.noise.sigma_lsb"]) for t in expand(spec_of(tmp_path, text)) if not t.reference]
    assert sorted(left) == [("best", 2.0), ("plain", 0.5), ("plain", 1.0), ("plain", 2.0)]


def test_when_changes_matching_combinations_alone(tmp_path):
    text = (
        SWEEP
        + """
[[exclude]]
variant = "best"
"imc.noise.sigma_lsb" = 2.0
[[when]]
"imc.noise.sigma_lsb" = [1.0, 2.0]
set = { "imc.adc.bits" = 6, "imc.adc.range_policy" = "two_level" }
[[when]]
variant = "plain"
"imc.noise.sigma_lsb" = 2.0
set = { "imc.adc.bits" = 7 }
"""
    )
    trials = expand(spec_of(tmp_path, text))
    found = {
        (t.variant, t.axes["imc.noise.sigma_lsb"]): (t.config.imc.adc.bits, t.config.imc.adc.range_policy)
        for t in trials
        if t.reference is None
    }
    fixed, per_site = load_config(tmp_path / "tiny.toml").imc.adc.range_policy, "per_site"
    assert found == {
        ("plain", 0.5): (None, fixed),
        ("best", 0.5): (None, per_site),
        ("plain", 1.0): (6, "two_level"),
        ("best", 1.0): (6, "two_level"),
        ("plain", 2.0): (7, "two_level"),
    }
    # References are the same trials whatever holds at some level.
    references = {t.key for t in expand(spec_of(tmp_path)) if t.reference}
    assert references == {t.key for t in trials if t.reference}


def test_every_shipped_sweep_is_valid(tmp_path):
    experiments = Path(imctrain.__file__).parents[1] / "experiments"
    searches = [path for path in experiments.rglob("*.sweep.toml") if "search" in tomllib.loads(path.read_text())]
    for path in searches:
        assert Candidates(read_question(path), SweepFolder(tmp_path), lambda config, folder: None).recipe("recipe")
    files = sorted(set(experiments.rglob("*.sweep.toml")) - set(searches))
    assert files
    assert searches
    readme = (experiments / "README.md").read_text()
    for path in files:
        trials = expand(read_sweep(path))
        assert len({trial.key for trial in trials}) == len(trials) > 1
        (row,) = (line for line in readme.splitlines() if line.startswith(f"| `{path.name}` |"))
        assert row.endswith(f"| {len(trials)} |"), f"{path.name} has {len(trials)} trials"


def test_variants_that_are_the_same_training_are_one_trial(tmp_path):
    text = SWEEP.replace('"imc.adc.range_policy" = "per_site"', '"imc.mapping.gradient" = "grouped"')
    assert len(expand(spec_of(tmp_path, text))) == 2 + 3


def test_a_changed_variant_takes_the_name_along(tmp_path):
    """A sweep's file that means another config by a variant leaves the old trial's result, not its name."""
    folder = SweepFolder(tmp_path / "out")
    levels = SWEEP.replace('"imc.adc.range_policy" = "per_site"', '"imc.adc.range_policy" = "two_level"')
    first = folder.add("s", expand(spec_of(tmp_path, SWEEP)), tmp_path)
    done = next(key for key in first if "per_site" in folder.files.plan(key).read_text())
    folder.trial(done).folder.mkdir()
    second = folder.add("s", expand(spec_of(tmp_path, levels)), tmp_path)
    gone = set(first) - set(second)
    assert len(gone) == 3
    assert set(folder.keys()) == set(second) | {done}
    assert json.loads(folder.files.plan(done).read_text())["labels"] == {}
    assert folder.title(done) == f"trial {done}"
    # Extending an axis changes no trial that is there.
    folder.add("s", expand(spec_of(tmp_path, levels.replace("2.0]", "4.0]"))), tmp_path)
    assert set(second) <= set(folder.keys())
    # Another sweep's trials keep their names whatever this one calls its own.
    folder.add("other", expand(spec_of(tmp_path, SWEEP)), tmp_path)
    assert set(second) <= set(folder.keys())


def test_the_key_is_that_of_the_training_alone(tmp_path):
    path = write(tmp_path, BASE)
    key = trial_key(load_config(path))
    for same in ("name=other", "checkpoint.keep=5", "data.data_dir=/elsewhere", "imc.noise.scale=1.0"):
        assert trial_key(load_config(path, [same])) == key, same
    for other in ("seed=1", "training.epochs=3", "imc.adc.bits=7", "model.width=8"):
        assert trial_key(load_config(path, [other])) != key, other
    changed = load_config(path, ["imc.adc.bits=7"])
    assert same_training(load_config(path), changed) == "imc.adc.bits"
    assert same_training(load_config(path), load_config(path, ["name=x"])) is None


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("imc.adc.bits=6,8", ("imc.adc.bits", (6, 8))),
        ("a.b=grouped, balanced", ("a.b", ("grouped", "balanced"))),
        ("a=true,false", ("a", (True, False))),
        ('a=[{match = "stem"}], []', ("a", ([{"match": "stem"}], []))),
        ("a=0.5,x", ("a", (0.5, "x"))),
    ],
)
def test_axis_values(item, expected):
    assert parse_axis(item) == expected


@pytest.mark.parametrize("item", ["a", "a=", "=1", "a=1,1"])
def test_bad_axes(item):
    with pytest.raises(UserError, match="--axis"):
        parse_axis(item)


def test_literals_are_toml():
    import tomllib

    value = {"a": [1, 2.5, True, 'quoted "word"', {"b.c": "d"}], "e": False}
    assert tomllib.loads(f"v = {toml_literal(value)}")["v"] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[axes]\na = []\nconfig = 'x'", "config is missing"),
        ("config = 'tiny.toml'\nspeed = 1", "speed is an unknown key"),
        ("config = 'tiny.toml'\nseeds = []", "seeds"),
        ("config = 'tiny.toml'\nreferences = ['analog']", "references"),
        ("config = ", "not valid TOML"),
        ("config = 'tiny.toml'\n[[exclude]]", "exclude is empty"),
        (
            "config = 'tiny.toml'\n[[exclude]]\n'imc.adc.bits' = 8",
            "exclude.imc.adc.bits is no axis.*: variant",
        ),
        (SWEEP + "[[exclude]]\nvariant = 'bets'", "exclude.variant = 'bets'.* allowed: plain, best"),
        (SWEEP + "[[exclude]]\n'imc.noise.sigma_lsb' = 3", "= 3: there is no such value; allowed: 0.5, 1.0, 2.0"),
        (SWEEP + "[[when]]\nvariant = 'bets'\nset = { a = 1 }", "when.variant = 'bets'.* allowed: plain, best"),
        (SWEEP + "[[when]]\nset = { a = 1 }", "when is empty"),
        (SWEEP + "[[when]]\nvariant = 'best'", r"when.set = None: give what it changes, such as set = \{ \"imc.adc"),
        (SWEEP + "[[when]]\nvariant = 'best'\nset = { seed = 1 }", "when.set.seed: it is an axis"),
        (SWEEP + "[[when]]\nvariant = 'best'\nset = { 'imc.noise.sigma_lsb' = 1 }", "when.set.imc.noise.sigma_lsb: it"),
        (
            SWEEP + "[[exclude]]\nvariant = 'best'\n[[when]]\nvariant = 'best'\nset = { a = 1 }",
            "when variant = 'best' matches no trial: exclude leaves all of them out",
        ),
    ],
)
def test_bad_sweep_files(tmp_path, text, message):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_sweep(tmp_path / "bad.toml")


def test_bad_values_of_an_axis_are_found_before_anything_is_written(tmp_path, monkeypatch, capsys):
    config = write(tmp_path, BASE)
    out = tmp_path / "out"
    for axis, message in (("imc.adc.bits=8,99", "imc.adc.bits"), ("imc.adc.bitz=8", "nearest is imc.adc.bits")):
        assert call(monkeypatch, "sweep", "grid", "-c", config, "--axis", axis, "--out", out) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_calibration_file_goes_with_the_sweep_and_into_the_key(tmp_path):
    shipped = Path(imctrain.__file__).parents[1] / "calibration" / "ideal.json"
    (tmp_path / "mine.json").write_text(shipped.read_text())
    write(tmp_path, BASE.replace('"ideal"', '"mine.json"'))
    spec = make_spec({"config": str(tmp_path / "tiny.toml"), "references": []}, "test")
    folder = SweepFolder(tmp_path / "out")
    (first,) = folder.add("a", expand(spec), tmp_path)
    (file,) = (tmp_path / "out" / "calibrations").iterdir()
    assert folder.config(first).imc.calibration == f"calibrations/{file.name}"
    (tmp_path / "mine.json").write_text(shipped.read_text().replace('"name": "ideal"', '"name": "other"'))
    (second,) = folder.add("a", expand(spec), tmp_path)
    assert second != first


def test_a_trial_begun_under_other_defaults_is_refused(tmp_path):
    spec = make_spec({"config": str(write(tmp_path, BASE)), "references": []}, "test")
    folder = SweepFolder(tmp_path / "out")
    (trial,) = expand(spec)
    (key,) = folder.add("a", [trial], tmp_path)
    folder.trial(key).folder.mkdir(parents=True)
    begun = trial.config.replace(imc=trial.config.imc.replace(chip_seed=3))
    write(folder.trial(key).folder, dump_toml(begun), "config.toml")
    with pytest.raises(UserError, match=r"another default of imc\.chip_seed"):
        folder.add("a", expand(spec), tmp_path)


@pytest.mark.slow
def test_a_trial_whose_folder_was_edited_fails_and_keeps_what_it_has(tmp_path, uninterrupted):
    from imctrain.sweep.worker import train

    _, trial = one_trial(tmp_path)
    folder = SweepFolder(tmp_path / "out")
    folder.add("one", expand(read_sweep(tmp_path / "one.toml")), tmp_path)
    shutil.copytree(uninterrupted, trial)
    (trial / "result.json").unlink()
    config, planned = trial / "config.toml", (trial / "config.toml").read_text()
    config.write_text(planned.replace("\nseed = 0", "\nseed = 5", 1))
    assert train(folder, trial.name) == 2
    status = folder.status(trial.name)
    assert (status.state, status.code) == ("failed", 2)
    assert f"is planned with another seed than {config} says: put back what it was" in status.error
    # Nor is a checkpoint of another training taken for the trial's own.
    config.write_text(planned)
    for position in (trial / "checkpoints").glob("[0-9]*/position/metadata"):
        position.write_text(position.read_text().replace('"seed": 0', '"seed": 5'))
        (position.parents[1] / "sums.json").write_text(json.dumps(sums(position.parents[1])))
    assert train(folder, trial.name) == 2
    assert "was trained with: seed 5 -> 0: put back" in folder.status(trial.name).error
    assert list((trial / "checkpoints").glob("[0-9]*"))


@pytest.mark.slow
def test_a_trial_whose_result_is_damaged_is_trained_again(tmp_path, uninterrupted, monkeypatch, capsys):
    _, trial = one_trial(tmp_path)
    SweepFolder(tmp_path / "out").add("one", expand(read_sweep(tmp_path / "one.toml")), tmp_path)
    shutil.copytree(uninterrupted, trial)
    whole = json.loads((trial / "result.json").read_text())
    (trial / "result.json").write_bytes(b"\xff\xfe")
    assert call(monkeypatch, "sweep", "file", tmp_path / "one.toml", "--out", tmp_path / "out", "--jobs", "1") == 0
    assert f"note: trial {trial.name}: " in capsys.readouterr().out
    assert json.loads((trial / "result.json").read_text())["test_accuracy"] == whole["test_accuracy"]
    assert (trial / "result.json.damaged").is_file()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder after a whole sweep: digits, two levels, two variants, two references."""
    folder = tmp_path_factory.mktemp("swept")
    spec_of(folder, SWEEP.replace("1.0, ", ""))
    done = spawn("sweep", "file", folder / "noise.toml", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    return folder


@pytest.mark.slow
def test_a_small_sweep_in_float(tmp_path, monkeypatch, capsys):
    """Two trials in processes of their own, tables, and the page of both."""
    text = 'config = "tiny.toml"\nreferences = []\n[axes]\n"training.learning_rate" = [0.02, 0.05]\n'
    spec_of(tmp_path, text, BASE.replace('"exact"', '"float"'), "rates.toml")
    out = tmp_path / "out"
    done = spawn("sweep", "file", tmp_path / "rates.toml", "--out", out)
    assert done.returncode == 0, done.stderr
    trials = results(out)
    table = json.loads((out / "results" / "rates.json").read_text())
    assert len(trials) == len(table["trials"]) == 2
    assert f"[{len(trials)}/{len(trials)}]" in done.stdout
    assert all(0.0 < row["accuracy"] <= 1.0 for row in table["trials"])
    assert call(monkeypatch, "report", out, "--out", tmp_path / "page.html") == 0
    assert "rates" in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_a_whole_sweep(swept):
    out = swept / "out"
    assert len(results(out)) == 2 + 2 * 2
    lines = (swept / "stdout").read_text()
    assert "[6/6]" in lines
    table = json.loads((out / "results" / "noise.json").read_text())
    assert table["axis"] == "imc.noise.sigma_lsb"
    assert {row["variant"] for row in table["trials"] if row["reference"] is None} == {"plain", "best"}
    assert all(0.0 <= row["accuracy"] <= 1.0 for row in table["trials"])
    # In the order of the sweep file, not of the alphabet.
    assert [row["variant"] for row in table["trials"]] == ["", "", *["plain"] * 2, *["best"] * 2]
    assert set(table["crossings_by_points_below_float"]) == {"plain", "best"}
    for suffix in ("csv", "md", "png", "svg"):
        assert (out / "results" / f"noise.{suffix}").stat().st_size > 100
    # A finished sweep needs no checkpoints, and names no folder of this machine.
    assert not list(out.glob("trials/*/checkpoints"))
    for file in out.glob("trials/*/*.json"):
        assert str(swept) not in file.read_text(), file


@pytest.mark.slow
def test_a_sweep_is_extended_and_merged_without_training_a_trial_twice(swept, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(swept / "out", out)
    before = results(out)
    common = ("-c", swept / "tiny.toml", "--references", "float", "--name", "more")
    more = ("sweep", "noise", *common, "--sigma", "2.0,3.0", "--mapping", "grouped")
    assert spawn(*more, "--out", out).returncode == 0
    after = results(out)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 1
    rows = json.loads((out / "results" / "more.json").read_text())["trials"]
    assert sorted(row["axes"].get("imc.noise.sigma_lsb", 0) for row in rows) == [0, 2.0, 3.0]

    other = tmp_path / "other"
    assert spawn(*more[:-4], "--sigma", "4.0", "--mapping", "grouped", "--out", other).returncode == 0
    shutil.copytree(other, out, dirs_exist_ok=True)
    merged = results(out)
    assert spawn("sweep", "resume", out).returncode == 0
    assert results(out).keys() == merged.keys() == after.keys() | results(other).keys()


@pytest.mark.slow
def test_report_page(swept, monkeypatch, capsys):
    assert call(monkeypatch, "report", swept / "out", "--out", swept / "page.html") == 0
    page = (swept / "page.html").read_text()
    assert page.count('<tr class="more" hidden>') == 6
    assert "Sweep: noise" in page
    assert "data:image/svg+xml;base64," in page
    for outside in ("http://", "https://", 'src="/', "file:"):
        assert outside not in page
    assert call(monkeypatch, "report", swept / "nothing") == 2
    assert "no folder" in capsys.readouterr().err


@pytest.mark.slow
def test_failed_trials_are_reported_and_the_rest_goes_on(tmp_path):
    text = 'config = "tiny.toml"\nreferences = ["float"]\n'
    text += '[variants.lost]\n"imc.rules" = [{ match = "no_such_site", path = "float" }]\n'
    text += '[variants.wild]\n"training.learning_rate" = 1000.0\n'
    spec_of(tmp_path, text)
    done = spawn("sweep", "file", tmp_path / "noise.toml", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "2 of 3 trials failed" in done.stderr
    assert "no_such_site" in done.stdout
    assert "diverged" in done.stdout
    assert len(results(tmp_path / "out")) == 1
    again = spawn("sweep", "file", tmp_path / "noise.toml", "--out", tmp_path / "out")
    assert "3 trials, 3 of them finished before" in again.stdout
    assert "no_such_site" in (tmp_path / "out" / "results" / "noise.md").read_text()


def holder(lock: Path, deadline: float = 120.0) -> int:
    """The process that trains the run of a lock file."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if any(os.readlink(fd) == str(lock) for fd in (process / "fd").iterdir()):
                    return int(process.name)
            except OSError:
                continue
        time.sleep(0.05)
    raise AssertionError(f"nobody holds {lock}")


def wait_for_epoch(folder: Path, epoch: int, deadline: float = 120.0) -> None:
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        try:
            if any(record.get("epoch") == epoch and record["kind"] == "epoch" for record in metrics(folder)):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.05)
    raise AssertionError(f"{folder} did not reach epoch {epoch}")


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "imctrain.cli", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(Path(imctrain.__file__).parents[1])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The trial of LONG, trained in one go."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = spawn("run", "-c", write(folder, LONG), "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def one_trial(folder: Path) -> tuple[list[str | Path], Path]:
    """Command and trial folder of a sweep whose only trial is LONG."""
    write(folder, LONG)
    (folder / "one.toml").write_text('config = "tiny.toml"\nreferences = []\n')
    (trial,) = expand(read_sweep(folder / "one.toml"))
    command = ["sweep", "file", folder / "one.toml", "--out", folder / "out", "--keep-checkpoints"]
    return command, folder / "out" / "trials" / trial.key


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_killed_workers_trial_goes_on_from_its_checkpoint(tmp_path, uninterrupted, executor):
    if executor == "ray":
        pytest.importorskip("ray")
    command, trial = one_trial(tmp_path)
    process = start(*command, "--executor", executor)
    try:
        wait_for_epoch(trial, 3)
        os.kill(holder(trial / ".lock"), signal.SIGKILL)
        output, errors = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "[1/1]" in output
    assert "continuing after step" in (trial / "log.txt").read_text()
    assert_same_bits(trial, uninterrupted)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGPIPE"])
def test_an_interrupted_sweep_saves_its_trials_and_goes_on(tmp_path, uninterrupted, name):
    """By a signal, or by a reader that has gone. Which signals are heard: training/test_signals.py."""
    command, trial = one_trial(tmp_path)
    process = start(*command)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        wait_for_epoch(trial, 3)
        if name == "SIGPIPE":
            process.stdout.close()
            errors = process.stderr.read()
            process.wait(timeout=120)
        else:
            process.send_signal(getattr(signal, name))
            _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 128 + getattr(signal, name), errors
    assert f"continue with: imctrain sweep resume {tmp_path / 'out'}" in errors
    assert not (trial / "result.json").exists()
    done = spawn("sweep", "resume", tmp_path / "out", "--keep-checkpoints")
    assert done.returncode == 0, done.stderr
    assert_same_bits(trial, uninterrupted)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds processes in /proc")
def test_a_signal_to_a_whole_job_ends_a_sweep_on_ray(tmp_path, uninterrupted):
    """As batch systems send it: to the daemons of the cluster, too."""
    pytest.importorskip("ray")
    command, trial = one_trial(tmp_path)
    process = start(*command, "--executor", "ray")
    try:
        wait_for_epoch(trial, 3)
        os.killpg(process.pid, signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 143, errors
    assert "continue with: imctrain sweep resume" in errors
    done = spawn("sweep", "resume", tmp_path / "out", "--keep-checkpoints")
    assert done.returncode == 0, done.stderr
    assert_same_bits(trial, uninterrupted)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="finds processes in /proc")
def test_two_processes_do_not_train_one_run(tmp_path):
    process = start("run", "-c", write(tmp_path, LONG), "--out", tmp_path / "run")
    try:
        wait_for_epoch(tmp_path / "run", 1)
        second = spawn("run", "--resume", tmp_path / "run")
        assert second.returncode == 2
        assert "is being trained by another process" in second.stderr
    finally:
        process.kill()
        process.communicate()


def test_each_seed_may_have_a_chip_of_its_own(tmp_path):
    write(tmp_path, BASE)
    path = tmp_path / "own.toml"
    text = 'config = "tiny.toml"\nseeds = [0, 3]\nreferences = ["float"]\n'

    def chips(more=""):
        path.write_text(text + more)
        trials = [trial for trial in expand(read_sweep(path)) if trial.reference is None]
        return [(t.config.imc.chip_seed, t.config.imc.chip.die, t.label.get("chips")) for t in trials]

    assert chips() == [(0, None, None), (0, None, None)]
    assert chips('chips = "each seed"\n') == [(0, None, "each seed"), (3, None, "each seed")]
    dies = 'chips = "each seed"\n[set]\n"imc.calibration" = "example-three-dies"\n'
    assert chips(dies) == [(0, 1, "each seed"), (0, 4, "each seed")]
    # A float reference is the same trial whatever the chips are.
    path.write_text(text)
    plain = expand(read_sweep(path))
    path.write_text(text + 'chips = "each seed"\n')
    spec = read_sweep(path)
    own = expand(spec)
    assert [t.key for t in own if t.reference] == [t.key for t in plain if t.reference]
    assert [t.key for t in own if not t.reference][1] != [t.key for t in plain if not t.reference][1]
    one = spec.model_copy(update={"chips": "one"})
    assert marks_of(spec, own)[0]["base"] != marks_of(one, plain)[0]["base"]
    tables = ('[set]\n"imc.chip_seed" = 1\n', '[axes]\n"imc.chip.die" = [1, 2]\n', '[variants.a]\n"imc.chip.die" = 1\n')
    for table in tables:
        with pytest.raises(UserError, match=r"chooses a chip for every seed, and imc\.chip"):
            chips('chips = "each seed"\n' + table)
    with pytest.raises(UserError, match="chips"):
        chips('chips = "two"\n')
