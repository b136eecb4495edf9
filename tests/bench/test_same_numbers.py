"""The comparison of two revisions' results (benchmarks/differences.py) tells what differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from differences import Differences, compare_arrays, compare_folders, compare_values
from same_numbers import items, verdict

RECORD = {"loss": 2.5, "step": 3, "sites": {"head": [1.0, None]}, "path": "exact", "seconds": 1.0}


def values(old, new) -> Differences:
    found = Differences()
    compare_values(old, new, "x", found)
    return found


def arrays(old, new) -> Differences:
    found = Differences()
    compare_arrays({"w": old}, {"w": new}, "x", found)
    return found


def test_equal_values_are_equal_and_the_clock_is_left_out():
    found = values(RECORD, RECORD | {"seconds": 9.0})
    assert found.equal
    assert found.compared == 5
    assert verdict(found, 0.0) == "equal bit for bit"


def test_a_float_that_differs_is_measured():
    found = values(RECORD, RECORD | {"loss": 2.5 + 2.5e-7})
    assert not found.equal
    assert found.first.startswith("x.loss: 2.5 -> ")
    assert found.absolute == pytest.approx(2.5e-7)
    assert found.relative == pytest.approx(1e-7)
    assert found.within(1e-6)
    assert not found.within(1e-8)
    assert verdict(found, 0.0).startswith("DIFFERENT")
    assert verdict(found, 1e-6).startswith("within the tolerance")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"step": 4}, "x.step: 3 -> 4"),
        ({"step": 3.0}, "x.step: 3 -> 3.0"),
        ({"step": True}, "x.step: 3 -> true"),
        ({"path": "auto"}, 'x.path: "exact" -> "auto"'),
        ({"loss": None}, "x.loss: 2.5 -> null"),
        ({"loss": float("nan")}, "x.loss: 2.5 -> NaN"),
        ({"sites": {"head": [1.0]}}, "x.sites.head has 1 values in place of 2"),
        ({"sites": {}}, "x.sites.head is missing"),
    ],
)
def test_what_no_tolerance_covers(change, told):
    found = values(RECORD, RECORD | change)
    assert found.failures == [told]
    assert not found.within(1.0)


def test_new_keys_are_listed_and_are_no_failure():
    found = values(RECORD, RECORD | {"more": 1})
    assert found.equal
    assert found.added == ["x.more"]


def test_zeros_of_two_signs_differ():
    assert not values(0.0, -0.0).equal
    assert not arrays(np.zeros(3, np.float32), -np.zeros(3, np.float32)).equal


def test_one_bit_of_one_element_is_told():
    old = np.linspace(-2, 2, 60, dtype=np.float32).reshape(3, 20)
    new = old.copy()
    new.view(np.uint32)[1, 4] ^= 1
    assert arrays(old, old.copy()).equal
    found = arrays(old, new)
    assert (found.differing, found.compared) == (1, 60)
    assert found.absolute == abs(float(new[1, 4]) - float(old[1, 4])) > 0
    assert found.relative == found.absolute / 2
    assert found.first.startswith("x/w: ")


def test_arrays_without_numbers_of_the_same_bits_are_equal():
    old = np.array([np.nan, np.inf, 1], np.float32)
    assert arrays(old, old.copy()).equal
    assert arrays(old, np.array([0, np.inf, 1], np.float32)).failures


@pytest.mark.parametrize(
    "new",
    [np.array([1, 2, 4], np.int32), np.array([1, 2, 3], np.int16), np.array([1, 2], np.int32)],
    ids=["value", "type", "shape"],
)
def test_integers_types_and_shapes_must_be_the_same(new):
    found = arrays(np.array([1, 2, 3], np.int32), new)
    assert len(found.failures) == 1
    assert not found.within(1.0)


def test_arrays_that_one_side_lacks():
    found = Differences()
    one = np.ones(2)
    compare_arrays({"a": one, "b": one}, {"b": one, "c": one}, "x", found)
    assert found.failures == ["x/a is missing"]
    assert found.added == ["x/c"]


def folder(path: Path, **files: str) -> Path:
    for name, content in files.items():
        target = path / name.replace("__", "/").replace("_", ".")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
    return path


def test_files_of_all_kinds_are_compared(tmp_path):
    files = {
        "a_json": '{"x": 1.5}',
        "a_jsonl": '{"x": 1.5}\n{"x": 2.5}\n',
        "a_toml": "x = 1.5",
        "a_csv": "x,name\n1.5,one\n2.5,two\n",
        "a_txt": "one\ntwo\n",
    }
    old, same = folder(tmp_path / "old", **files), folder(tmp_path / "same", **files)
    assert compare_folders(old, same, ["a.*"]).equal
    new = folder(tmp_path / "new", **{name: text.replace("1.5", "1.25") for name, text in files.items()})
    found = compare_folders(old, new, ["a.*"])
    assert (found.differing, found.failures) == (4, [])
    assert found.first == "a.csv[0].x: 1.5 -> 1.25"


def test_a_missing_file_is_told(tmp_path):
    old = folder(tmp_path / "old", trials__a__x_json="1", trials__b__x_json="1")
    new = folder(tmp_path / "new", trials__a__x_json="1", trials__c__x_json="1")
    found = compare_folders(old, new, ["trials/*/x.json", "other.json"])
    assert found.failures == ["trials/b/x.json is missing", "other.json: the old revision wrote none"]
    assert found.added == ["trials/c/x.json"]


def test_a_broken_file_is_told(tmp_path):
    old, new = folder(tmp_path / "old", x_json="1"), folder(tmp_path / "new", x_json="{")
    assert "x.json cannot be read" in compare_folders(old, new, ["x.json"]).failures[0]


def test_checkpoints_are_compared_step_by_step(tmp_path):
    from imctrain.training.checkpoint import Checkpoints

    weights = np.linspace(0, 1, 8, dtype=np.float32)
    for name, steps in (("old", (1, 2)), ("new", (1,))):
        checkpoints = Checkpoints(tmp_path / name / "run" / "checkpoints")
        for step in steps:
            other = np.nextafter(weights, 2) if name == "new" else weights
            checkpoints.save(step, {"params": {"w": other, "step": np.int32(step)}}, {}, None)
        checkpoints.close()
    found = compare_folders(tmp_path / "old", tmp_path / "new", ["run/checkpoints"])
    assert found.failures == ["run/checkpoints/2 is missing"]
    assert found.differing == 8
    assert found.first.startswith("run/checkpoints/1/params/w: ")


def test_items_have_names_of_their_own_and_configs_that_are_valid(tmp_path):
    from imctrain.settings import load_config

    everything = items(2)
    assert len({item.name for item in everything}) == len(everything)
    for item in everything:
        json.dumps(item.files)
        for name, content in item.files.items():
            load_config(folder(tmp_path / item.name, **{name.replace(".", "_"): content}) / name)
