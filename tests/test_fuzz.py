"""Files with accidents in them are read or refused in a line: no mutation of any file is an internal error.

What drew an input is its seed: a failure names it, and `fuzzed_files` makes the same file again.
"""

from __future__ import annotations

import json
import warnings

import pytest
from fuzzed_files import (
    READERS,
    TRIALS,
    attempt_file,
    attempt_folder,
    draw_all,
    read_all,
    readers_of_trials,
    write_sweep,
)

from imctrain.errors import DamageWarning
from imctrain.records.runs import gather


def mutate_files(folder, kind, seeds):
    seen = set()
    for seed in seeds:
        try:
            seen.add(attempt_file(kind, seed, folder))
        except Exception as error:
            raise AssertionError(f"{kind}, seed {seed}: {type(error).__name__}: {error}") from error
    return seen


@pytest.mark.parametrize("kind", READERS)
def test_mutated_inputs_are_read_or_refused(tmp_path, kind):
    assert mutate_files(tmp_path, kind, range(60)) == {"read", "refused"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", READERS)
def test_many_mutated_inputs_are_read_or_refused(tmp_path, kind):
    assert mutate_files(tmp_path, kind, range(1000, 2000)) == {"read", "refused"}


@pytest.fixture
def kept_sweep(tmp_path):
    return write_sweep(tmp_path / "kept")


def mutate_folders(kept, scratch, seeds, *readers):
    seen = set()
    for seed in seeds:
        try:
            seen |= attempt_folder(kept, scratch, seed, *readers)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {scratch}: {type(error).__name__}: {error}") from error
    return seen


@pytest.mark.filterwarnings("ignore::imctrain.errors.DamageWarning")
def test_mutated_run_folders_leave_the_others_readable(tmp_path, kept_sweep):
    assert mutate_folders(kept_sweep, tmp_path / "s", range(80), read_all) == {"read"}
    assert mutate_folders(kept_sweep, tmp_path / "s", range(80, 140), *readers_of_trials()) == {"read", "refused"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::imctrain.errors.DamageWarning")
def test_mutated_run_folders_are_drawn(tmp_path, kept_sweep):
    assert mutate_folders(kept_sweep, tmp_path / "s", range(200, 212), draw_all) == {"read"}
    assert mutate_folders(kept_sweep, tmp_path / "s", range(1000, 1400), read_all) == {"read"}


def test_what_is_left_out_is_named(kept_sweep):
    (kept_sweep / "trials" / TRIALS[1] / "config.toml").write_bytes(b"\xff\xfe")
    (kept_sweep / "trials" / TRIALS[2] / "result.json").write_text("{")
    with pytest.warns(DamageWarning) as told:
        records = gather(kept_sweep)
    assert [record.folder.name for record in records] == [TRIALS[0]]
    assert [str(warning.message).split(" is left out")[0] for warning in told] == [
        f"run {kept_sweep / 'trials' / key}" for key in TRIALS[1:]
    ]


def test_a_damaged_archive_leaves_the_trials_beside_it(kept_sweep):
    (kept_sweep / "trials.tar.xz").write_bytes(b"no archive")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert len(gather(kept_sweep)) == len(TRIALS)
    assert "trials.tar.xz" in str(told[0].message)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["$$", "$\\frac{", "a_b^c", "100 % of {x}"])
def test_a_name_of_a_variant_is_drawn_as_it_is(kept_sweep, name):
    for key in TRIALS[1:]:
        path = kept_sweep / "plan" / f"{key}.json"
        plan = json.loads(path.read_text())
        plan["labels"]["noise"]["variant"] = name
        path.write_text(json.dumps(plan))
    draw_all(kept_sweep)
    assert (kept_sweep / "results" / "noise.png").is_file()
