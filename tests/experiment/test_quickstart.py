"""The quickstart experiment reaches what its file and the README promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_tools import call

pytestmark = [pytest.mark.slow, pytest.mark.as_users]

CONFIG = Path(__file__).parents[2] / "experiments" / "quickstart.toml"


def result(monkeypatch, out, *overrides):
    assert call(monkeypatch, "run", "--config", CONFIG, "--out", out, *overrides) == 0
    return json.loads((out / "result.json").read_text())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_quickstart(tmp_path, monkeypatch, seed):
    found = result(monkeypatch, tmp_path / "run", "--set", f"seed={seed}")
    assert found["path"] == "exact"
    assert found["sigma_lsb"] > 0
    assert set(found["sites"].values()) == {"exact"}
    assert found["test_accuracy"] >= 0.95
    assert found["baseline_test_accuracy"] >= 0.97
