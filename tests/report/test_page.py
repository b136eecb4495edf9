"""The page of `imctrain report` over many runs: what is listed, what differs, what a browser is given to draw."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from html.parser import HTMLParser
from pathlib import Path

import pytest
from kept_results import write_result
from many_runs import many_runs
from run_tools import call

import imctrain
from imctrain.errors import DamageWarning
from imctrain.records.layout import RunFiles
from imctrain.records.runs import gather
from imctrain.report.page import write_page
from imctrain.report.web import curves as web_curves
from imctrain.report.web.curves import POINTS, run_curves, worst_of
from imctrain.report.web.differences import MOST_KEYS, differences_of

pytestmark = pytest.mark.filterwarnings("ignore::imctrain.errors.DamageWarning")


class Rows(HTMLParser):
    """Cells of the table of runs, and the data of each row."""

    def __init__(self, text):
        super().__init__()
        self.rows, self._cell, self._in_row = [], None, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "tr":
            self._in_row = found.get("class") == "run" and "data-status" in found
            if self._in_row:
                self.rows.append((found, []))
        elif tag == "td" and self._in_row:
            self.rows[-1][1].append("")
            self._cell = True

    def handle_endtag(self, tag):
        self._cell = None if tag == "td" else self._cell

    def handle_data(self, data):
        if self._cell and self._in_row:
            self.rows[-1][1][-1] += data


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """36 runs: 31 finished ... of a sweep and one beside it."""
    root = tmp_path_factory.mktemp("few")
    return root, many_runs(root, 36)


@pytest.fixture
def page(few, tmp_path):
    root, told = few
    target = tmp_path / "page.html"
    write_page(root, target)
    return target.read_text(), told


def test_every_run_has_a_row_with_its_status(page):
    text, told = page
    rows = Rows(text).rows
    found = {status: sum(data["data-status"] == status for data, _ in rows) for status in ("finished", "unfinished")}
    assert found == {"finished": told["finished"], "unfinished": told["unfinished"]}
    assert len(rows) == sum(told.values()) - told["damaged"]
    assert f"{told['damaged']} left out, since a file is damaged" in text
    failed = next(cells for data, cells in rows if data["data-status"] == "failed")
    assert "diverged at step 412: loss is nan" in failed[2]
    unfinished = next(cells for data, cells in rows if data["data-status"] == "unfinished")
    assert re.search(r"unfinished\s+epoch 5 of 30", unfinished[2])
    assert unfinished[1] == ""


def test_the_accuracy_is_second_and_hashes_are_no_names(page):
    rows = Rows(page[0]).rows
    for data, cells in rows:
        if data["data-status"] == "finished":
            assert re.fullmatch(r"\d+\.\d\d %", cells[1])
            assert float(cells[1][:-2]) == pytest.approx(100 * float(data["data-accuracy"]), abs=0.006)
            assert re.match(r"2026-10-\d\d \d\d:30", cells[6])
            assert re.match("d1e248a|3029b0e", cells[7])
        assert "ffff" not in "".join(cells)
        keys = json.loads(data["data-keys"])
        assert f"seed {keys['seed']:g}" in cells[3]


def test_the_page_needs_nothing_from_elsewhere(page):
    for outside in ("http://", "https://", 'src="/', "file:", "@import", "url("):
        assert outside not in page[0]


def test_a_runs_own_text_ends_no_script(few, tmp_path):
    root, _ = few
    run = tmp_path / "runs" / "x"
    with_sites = (path.parent for path in root.rglob("metrics.jsonl") if "stem:" in path.read_text())
    shutil.copytree(next(with_sites), run)
    write_result(run)
    bad = "</script><script>alert(1)</script>"
    lines = (run / "metrics.jsonl").read_text().replace("stem:", f"{bad}:")
    assert bad in lines
    (run / "metrics.jsonl").write_text(lines)
    write_page(tmp_path / "runs", tmp_path / "page.html")
    assert bad not in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_pictures_of_a_sweep_are_drawn_once(few, tmp_path, monkeypatch):
    root, _ = few
    shutil.copytree(root, tmp_path / "runs")
    write_page(tmp_path / "runs", tmp_path / "first.html")
    drawn = []
    section = "imctrain.report.web.sweep_section"
    monkeypatch.setattr(f"{section}.draw_axis_figure", lambda *given: drawn.append(given) or given[1].write_text("new"))
    monkeypatch.setattr(f"{section}.draw_pareto", lambda *given: drawn.append(given) or given[1].write_text("new"))
    write_page(tmp_path / "runs", tmp_path / "second.html")
    assert not drawn
    pictures = [re.findall('data:image[^"]*', (tmp_path / f"{name}.html").read_text()) for name in ("first", "second")]
    assert pictures[0] == pictures[1]
    assert pictures[0]
    # Another result is another picture, and so is a damaged file of pictures. One of the two sweeps has none.
    (kept,) = (file for file in (tmp_path / "runs").rglob(".page/*.json") if "data:image" in file.read_text())
    result = next(kept.parents[2].glob("trials/*/result.json"))
    result.write_text(result.read_text().replace('"test_accuracy": 0.', '"test_accuracy": 0.1', 1))
    write_page(tmp_path / "runs", tmp_path / "third.html")
    assert len(drawn) == 2
    kept.write_text("{")
    write_page(tmp_path / "runs", tmp_path / "fourth.html")
    assert len(drawn) == 4


def config(folder, text):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)
    write_result(folder)


def test_what_differs_is_said_with_the_shortest_names_and_what_is_alike_once(tmp_path):
    config(tmp_path / "a", "seed = 1\n[imc.adc]\nbits = 5\n[model]\nwidth = 4\n")
    config(tmp_path / "b", "seed = 1\n[imc.adc]\nbits = 6\n[model]\nwidth = 4\n")
    config(tmp_path / "c", 'seed = 1\nname = "other"\n[imc.adc]\nbits = 5.0\n[model]\nwidth = 4\n')
    found = differences_of(gather(tmp_path))
    assert found.names == {"imc.adc.bits": "bits"}
    assert [(each.name, each.text) for each in found.by_run[tmp_path / "b"]] == [("bits", "6")]
    assert (found.alike["seed"], found.alike["model.width"], list(found.usual)) == ("1", "4", [])
    assert "name" not in found.alike


def test_where_much_differs_a_run_says_what_is_unusual(tmp_path):
    keys = ("rows", "bits", "width", "epochs", "momentum", "seed", "batch_size")
    assert len(keys) > MOST_KEYS
    base = {"imc.array.rows": 64, "imc.adc.bits": 5, "model.width": 4, "training.epochs": 3, "training.momentum": 0.9}
    base |= {"seed": 0, "data.batch_size": 32}
    for number, key in enumerate([None, None, *base]):
        changed = base | ({key: 7} if key else {})
        config(tmp_path / f"run{number}", "".join(f"{key} = {value}\n" for key, value in changed.items()))
    found = differences_of(gather(tmp_path))
    assert {each.name: each.text for each in found.usual} == {
        "rows": "64", "bits": "5", "width": "4", "epochs": "3", "momentum": "0.9", "seed": "0", "batch_size": "32",
    }  # fmt: skip
    assert found.by_run[tmp_path / "run0"] == []
    assert [(each.key, each.text) for each in found.by_run[tmp_path / "run3"]] == [("imc.adc.bits", "7")]


def test_two_keys_of_one_last_name_are_told_apart(tmp_path):
    for number in (1, 2):
        config(
            tmp_path / str(number), f"imc.array.scale = {number}\nimc.noise.scale = {number}\nmodel.width = {number}"
        )
    assert list(differences_of(gather(tmp_path)).names.values()) == ["array.scale", "noise.scale", "width"]


def test_long_metrics_are_thinned_and_their_end_is_kept(tmp_path, monkeypatch):
    files = RunFiles(tmp_path)
    lines = []
    for step in range(1, 2001):
        sites = {"a:snr_db_forward": 20.0 - 0.01 * step, "b:snr_db_forward": None, "a:clipped_forward": 0.0}
        lines.append({"kind": "train", "step": step, "epoch": 1, "loss": 1.0, "sites": sites})
        lines.append({"kind": "epoch", "step": step, "epoch": step, "loss": 1 / step, "accuracy": 0.5})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    files.metrics.write_text(text + '{"kind": "train", "st')
    found = run_curves(files)
    assert len(found["run"]["epochs"]) == POINTS
    assert found["run"]["epochs"][0] == 1
    assert found["run"]["epochs"][-1] == 2000
    assert found["run"]["evaluated"] == [None] * POINTS
    assert found["steps"][0] == 1
    assert found["snr"]["forward"]["b"] == [None] * len(found["steps"])
    assert found["clipped"]["forward"]["a"] == [1e-6] * len(found["steps"])
    assert worst_of(found) == [("a", "forward", found["snr"]["forward"]["a"][-1])]
    files.metrics.write_text(text)
    assert run_curves(files)["snr"]["forward"]["a"][-1] == 0.0
    # A page of many runs has less room for each.
    monkeypatch.setattr(web_curves, "PAGE_BYTES", 3 * 5 * 20 * 10)
    assert len(run_curves(files, runs=10)["steps"]) == 20


@pytest.mark.slow
def test_a_page_of_210_runs_is_small(tmp_path, monkeypatch, capsys):
    told = many_runs(tmp_path / "runs", 210)
    with warnings.catch_warnings():
        warnings.simplefilter("always", DamageWarning)
        assert call(monkeypatch, "report", tmp_path / "runs", "--out", tmp_path / "page.html") == 0
    assert (tmp_path / "page.html").stat().st_size < 5_000_000
    assert len(Rows((tmp_path / "page.html").read_text()).rows) == 210 - told["damaged"]
    assert capsys.readouterr().err.count("is left out") == told["damaged"]


def test_sites_that_rules_left_digital_are_named(tmp_path):
    kept = Path(imctrain.__file__).parents[1] / "experiments" / "cifar10" / "results" / "cnn5-paths" / "exact-0"
    shutil.copytree(kept, tmp_path / "runs" / "exact-0")
    write_page(tmp_path / "runs", tmp_path / "page.html")
    assert "<td>stem, head: digital, by rule</td>" in (tmp_path / "page.html").read_text()
