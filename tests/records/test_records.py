"""What a run and a sweep leave on disk: one place knows it, types read back what was written, byte for byte."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from kept_results import PLAIN, result, write_result
from run_tools import call

import imctrain
from imctrain.errors import UserError
from imctrain.records.layout import RunFiles, SweepFiles, sweep_of
from imctrain.records.metrics import epoch_lines, read_lines, read_rows, read_tail, train_lines
from imctrain.records.result import Failure, Result

PACKAGE = Path(imctrain.__file__).parent
RUN = RunFiles(Path())
SWEEP = SweepFiles(Path())
NAMES = {
    path.name
    for files in (RUN, SWEEP)
    for name, kind in vars(type(files)).items()
    if isinstance(kind, property) and isinstance(path := getattr(files, name), Path)
}
FOLDERS = {name for name in NAMES if "." not in name} | {"baseline"}
"""Words of their own: they are looked for where paths are joined."""
OWN = {"tracking/trackers/tensorboard.py": ["events"]}
"""TensorBoard's files are called so within their folder."""


def spelt(tree: ast.AST) -> list[str]:
    """Names of kept files in code: whole words of a path, or parts that are joined to one."""
    texts = {id(node): node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    joined = [node.right for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
    words = [text for text in texts.values() if isinstance(text, str)]
    found = [text for text in words if re.split(r"[/*]", text)[-1] in NAMES - FOLDERS]
    return found + [text for node in joined if (text := texts.get(id(node))) in FOLDERS]


def test_the_names_are_those_of_the_layout():
    assert {"result.json", "config.toml", "metrics.jsonl", "ledger.md", "trials.tar.xz", ".lock"} <= NAMES
    assert {"plan", "trials", "calibrations", "results", "checkpoints", "baseline"} <= FOLDERS
    assert spelt(ast.parse('a / "result.json"; b.glob("*/failed.json"); c / "plan"; d["plan"]')) == [
        "result.json",
        "*/failed.json",
        "plan",
    ]


def test_no_other_package_spells_the_names_of_kept_files():
    others = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "records"]
    found = {str(path.relative_to(PACKAGE)): spelt(ast.parse(path.read_text())) for path in others}
    assert {path: names for path, names in found.items() if names} == OWN


def test_records_of_a_run_read_back_to_the_same_bytes(finished, tmp_path):
    for folder in (finished, finished / "baseline"):
        run = RunFiles(folder)
        Result.read(run.result).write(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == run.result.read_bytes()
        assert Result.read(run.result).model_extra == {}, "every key that is written has a type"
        lines = read_lines(run.metrics)
        assert [line.plain() for line in lines] == read_rows(run.metrics)
        assert all(line.model_extra == {} for line in lines)
        assert read_tail(run.metrics) == lines[-len(read_tail(run.metrics)) :] != []
        assert len(train_lines(lines)) + len(epoch_lines(lines)) == len(lines)


def test_a_result_is_a_mapping_of_what_was_written():
    found = result(test_accuracy=0.25, worst_site={"site": "a", "mvm": "forward", "snr_db": 1.5}, new={"key": 1})
    assert (found.test_accuracy, found["test_accuracy"], found.get("test_accuracy")) == (0.25, 0.25, 0.25)
    assert found.worst_site.snr_db == found["worst_site"]["snr_db"] == 1.5
    assert (found.sigma_lsb, "sigma_lsb" in found, found.get("sigma_lsb", 7)) == (None, False, 7)
    assert (
        dict(found)
        == dict(found.items())
        == PLAIN
        | {
            "test_accuracy": 0.25,
            "worst_site": {"site": "a", "mvm": "forward", "snr_db": 1.5},
            "new": {"key": 1},
        }
    )
    assert list(found.keys())[-1] == "new", "what this version does not know comes last"
    with pytest.raises(KeyError):
        found["sigma_lsb"]
    with pytest.raises(ValueError, match="frozen"):
        found.test_accuracy = 1.0


def test_changes_are_called_from_and_to_in_the_file(tmp_path):
    changes = [{"key": "seed", "from": 0, "to": 1, "step": 7}]
    found = result(changed=changes)
    assert (found.changed[0].before, found.changed[0].now) == (0, 1)
    assert found["changed"] == changes
    assert found.replace(seed=1)["changed"] == changes


def test_what_is_no_result_is_one_line(tmp_path):
    file = RunFiles(tmp_path).result
    write_result(tmp_path, test_accuracy="good")
    with pytest.raises(UserError, match=r"result.json is no result of a run \(test_accuracy: .*\): restore it, or"):
        Result.read(file)
    file.write_text("{}")
    with pytest.raises(UserError, match=r"is no result of a run \(name: Field required\)"):
        Result.read(file)
    file.write_text("{")
    with pytest.raises(UserError, match=r"is no JSON: .*: restore it, or train the run again"):
        Result.read(file)
    Failure(error="why", code=3).write(file)
    assert json.loads(file.read_text()) == {"error": "why", "code": 3}


def test_damaged_metrics_are_told_and_half_a_line_is_left_out(tmp_path):
    file = RunFiles(tmp_path).metrics
    assert read_lines(file) == read_tail(file) == []
    whole = json.dumps({"kind": "epoch", "step": 8, "epoch": 1, "loss": None, "accuracy": 0.5, "seconds": 2.0})
    file.write_text(f'{whole}\n{{"kind": "ep')
    (line,) = read_lines(file)
    assert (line.kind, line.loss, line.test_accuracy, line.plain()) == ("epoch", None, None, json.loads(whole))
    file.write_text(f'{{"kind": "of a later version"}}\n{whole}\n')
    assert read_lines(file) == [line]
    file.write_text('{"kind": "epoch", "epoch": "one"}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl holds no metrics of a run \(epoch.step: Field required\)"):
        read_lines(file)


def test_a_trial_knows_its_sweep():
    trial = SweepFiles(Path("runs/noise")).trial("abc")
    assert sweep_of(trial.folder) == SweepFiles(Path("runs/noise"))
    assert sweep_of(trial.baseline.folder) is None


def test_the_schema_of_a_result(monkeypatch, capsys):
    assert call(monkeypatch, "schema", "result") == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["required"]) == set(PLAIN) - {"schema_version"}
    assert schema["additionalProperties"] is True
    assert schema["properties"]["test_accuracy"] == {
        "anyOf": [{"maximum": 1.0, "minimum": 0.0, "type": "number"}, {"type": "null"}],
        "description": "At the end, a fraction of the test images; null where they were not measured.",
        "title": "Test Accuracy",
    }
    assert {"key", "from", "to", "step"} == set(schema["$defs"]["Change"]["properties"])
