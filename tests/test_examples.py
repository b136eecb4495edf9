"""The example scripts run as they are shown, and say what the array did and takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_the_page_lists_every_example():
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert set(re.findall(r"\]\((\w+\.(?:py|ipynb))\)", page)) == files
    assert len(SCRIPTS) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs(name, tmp_path):
    if name.startswith("equinox"):
        pytest.importorskip("equinox", reason="equinox is not installed")
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--quick"]
    # As a user runs it: optax's optimizers do not take the strict promotion of dtypes that the tests ask of imctrain.
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "JAX_NUMPY_DTYPE_PROMOTION": "standard"}
    found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert re.search(r"a step takes [\d.e+-]+ uJ on the array's chip", found.stdout), found.stdout
    assert re.search(r"dot#?\d*(,|\s|$)", found.stdout) is None or "attention/dot" in found.stdout
    assert re.search(r"\d+\.\d+%|nats a character", found.stdout), found.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_notebook_shows_what_it_gave():
    notebook = json.loads((EXAMPLES / "first_figure.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    assert [output["output_type"] for output in outputs] == ["stream", "display_data"]
    assert "image/png" in outputs[1]["data"]


@pytest.mark.slow
def test_the_notebook_runs_cell_by_cell(tmp_path, monkeypatch):
    """Its cells in their order, as a notebook runs them; without the figure's window."""
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((EXAMPLES / "first_figure.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    scope: dict[str, object] = {}
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells):
        exec(compile(cell, f"cell {number}", "exec"), scope)
    figure = matplotlib.pyplot.gcf()
    (axes,) = figure.axes
    accuracy = axes.lines[0].get_ydata()
    assert len(accuracy) >= 3
    assert accuracy[0] > accuracy[-1], "noise costs accuracy"
