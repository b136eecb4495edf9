"""docs/cost.md tells what the kept numbers say, and the kept numbers are what is counted today."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from run_tools import call
from technology_tools import near

ROOT = Path(__file__).parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(f"cost_{name}", ROOT / "experiments" / "cost" / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


energy, searches = script("energy"), script("searches")
CONTENT = json.loads(energy.KEPT.read_text(encoding="utf-8"))


def test_the_page_holds_the_kept_numbers():
    page = energy.PAGE.read_text(encoding="utf-8")
    assert energy.filled(page, CONTENT) == page
    for name in energy.tables(CONTENT):
        assert f"<!-- {name} -->" in page


def test_pages_hold_what_the_kept_searches_found():
    for page, text in searches.filled().items():
        assert page.read_text(encoding="utf-8") == text
        assert "| found |" in text or "| 1 LSB: cheapest within 2 points |" in text


def test_the_cheapest_within_points_counts_from_float():
    tried = [{"validation": v, "training_j": e} for v, e in ((0.78, 3.0), (0.77, 2.0), (0.7, 1.0), (0.69, 0.5))]
    answer = {"tried": tried, "by_hand": [{"name": "recipe", "validation": 0.9}, {"name": "float", "validation": 0.8}]}
    assert searches.cheapest(answer, 2.0)["training_j"] == 3.0
    assert searches.cheapest(answer, 10.0)["training_j"] == 1.0
    assert searches.cheapest(answer, 1.0) is None


def flat(value, prefix=""):
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}.{key}").items()}
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in flat(item, f"{prefix}[{i}]").items()}
    return {prefix: value}


def same(found, kept) -> bool:
    first, second = flat(json.loads(json.dumps(found))), flat(kept)
    return first.keys() == second.keys() and all(
        value == (near(second[key]) if isinstance(value, float) else second[key]) for key, value in first.items()
    )


def test_a_recount_gives_the_kept_numbers():
    found = energy.told(energy.network("resnet6", energy.recipe("silicon")))
    assert same(found, CONTENT["networks"]["resnet6"]["silicon"])


@pytest.mark.slow
def test_a_recount_of_everything_gives_the_kept_numbers():
    assert same(energy.count(), CONTENT)


def test_readme_shows_what_the_command_prints(monkeypatch, capsys):
    assert call(monkeypatch, "cost", "-c", str(ROOT / "experiments" / "quickstart.toml")) == 0
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    lines = capsys.readouterr().out.split("\nlaws-28nm: ")[1].split("\nwith ")[0].splitlines()
    assert len(lines) == 6
    assert all(" ".join(line.split()) in readme for line in lines)
