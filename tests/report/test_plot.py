"""`imctrain plot`, `imctrain results`, and what figures look like in a paper: sizes, styles, editable text."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib

import matplotlib
import polars
import pytest
from kept_results import write_result
from run_tools import call, spawn

from imctrain.errors import UserError
from imctrain.report.axis_figure import CROSSING, draw_axis_figure
from imctrain.report.crossing import Estimate
from imctrain.report.learning_curve import plot_learning_curve
from imctrain.report.plot import points_of
from imctrain.report.style import drawing, inches
from imctrain.report.sweep_table import SIGMA, Curves, as_markdown


@pytest.fixture
def runs(tmp_path):
    """Accuracy falls with noise, less so for balanced; two seeds at 1 LSB; one run that failed."""
    for mapping, slope in (("grouped", 0.10), ("balanced", 0.05)):
        for sigma, seed in ((0.5, 0), (1.0, 0), (1.0, 1)):
            run = tmp_path / "runs" / f"{mapping}-{sigma}-{seed}"
            run.mkdir(parents=True)
            text = f"seed = {seed}\n[imc.noise]\nsigma_lsb = {sigma}\n[imc.mapping]\ngradient = '{mapping}'\n"
            (run / "config.toml").write_text(text)
            write_result(run, test_accuracy=0.9 - slope * sigma + 0.01 * seed, seed=seed, energy_training_j=sigma)
    failed = tmp_path / "runs" / "failed"
    failed.mkdir()
    (failed / "config.toml").write_text("seed = 9\n")
    (failed / "failed.json").write_text('{"error": "diverged", "code": 3}')
    return tmp_path / "runs"


def test_points_are_grouped_by_any_key(runs):
    found = points_of(runs, "imc.noise.sigma_lsb", hue="imc.mapping.gradient")
    assert found.by_hue == {
        "balanced": {0.5: [0.875], 1.0: pytest.approx([0.85, 0.86])},
        "grouped": {0.5: [0.85], 1.0: pytest.approx([0.8, 0.81])},
    }
    # Keys of results go too, on either axis; words make a row of names.
    assert points_of(runs, "energy_training_j", "seconds").by_hue == {"": {0.5: [60.0] * 2, 1.0: [60.0] * 4}}
    words = points_of(runs, "imc.mapping.gradient")
    assert (words.is_numeric, words.levels) == (False, ["balanced", "grouped"])


def test_a_key_that_is_not_there_is_told_with_those_that_are(runs):
    with pytest.raises(UserError, match=r"--x sigma: no run below .* has that key"):
        points_of(runs, "sigma")
    with pytest.raises(UserError, match=r"--hue noise.sigma_lsb: .*did you mean imc.noise.sigma_lsb\?"):
        points_of(runs, "seed", hue="noise.sigma_lsb")
    with pytest.raises(UserError, match=r"--y model.name: no run below .* has a number there"):
        points_of(runs, "seed", "model.name")


def test_a_figure_of_a_papers_width_with_text_that_can_be_edited(runs, tmp_path, monkeypatch, capsys):
    style = tmp_path / "paper.mplstyle"
    style.write_text('axes.prop_cycle: cycler("color", ["123456", "abcdef"])\nfont.size: 7\n')
    arguments = ("--hue", "imc.mapping.gradient", "--width", "89mm", "--format", "pdf,svg", "--style", style)
    target = tmp_path / "figure"
    assert call(monkeypatch, "plot", runs, "--x", SIGMA, *arguments, "--out", target) == 0
    assert "6 runs in" in capsys.readouterr().out
    svg = (tmp_path / "figure.svg").read_text()
    assert "#123456" in svg
    assert "#0072B2".lower() not in svg.lower()
    assert re.search(r"<text[^>]*>gradient grouped</text>", svg)
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(89 / 25.4 * 72, abs=0.1)
    pdf = (tmp_path / "figure.pdf").read_bytes()
    # Letters are a TrueType font (42), which editors and journals take; type 3 they do not.
    assert b"/CIDFontType2" in pdf or b"/TrueType" in pdf
    assert b"/Type3" not in pdf
    # The same figure again is the same bytes, over the one that imctrain made; a user's file is not.
    assert call(monkeypatch, "plot", runs, "--x", SIGMA, *arguments, "--out", target) == 0
    assert (zlib.crc32(pdf), svg) == (
        zlib.crc32((tmp_path / "figure.pdf").read_bytes()),
        (tmp_path / "figure.svg").read_text(),
    )
    (tmp_path / "figure.svg").write_text("mine")
    assert call(monkeypatch, "plot", runs, "--x", SIGMA, *arguments, "--out", target) == 2
    assert (tmp_path / "figure.svg").read_text() == "mine"
    # A style is for its own figure alone.
    with drawing():
        assert matplotlib.rcParams["font.size"] == 9


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--width", "3.5", "--width 3.5: give column, page, or a number with in, cm, mm or pt"),
        ("--width", "9000mm", "of 1 to 30 inches"),
        ("--format", "jpg", "--format jpg: allowed is pdf, svg, png"),
        ("--style", "no-such", "--style no-such is no style of matplotlib"),
    ],
)
def test_what_cannot_be_drawn_is_told(runs, monkeypatch, capsys, option, value, message):
    assert call(monkeypatch, "plot", runs, "--x", SIGMA, option, value) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(runs.glob("plot-*"))


def test_widths():
    assert (inches("column"), inches("page"), inches("3.5in")) == (3.5, 7.16, 3.5)
    assert inches("8.9cm") == pytest.approx(inches("89mm")) == pytest.approx(89 / 25.4)
    assert inches("253pt") == pytest.approx(3.5, abs=0.01)


def test_results_as_csv_and_json(runs, tmp_path, monkeypatch, capsys):
    assert call(monkeypatch, "results", runs) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 7
    assert {row["error"] for row in rows} == {"", "diverged"}
    assert sorted(float(row["test_accuracy"]) for row in rows if row["test_accuracy"])[0] == pytest.approx(0.8)
    table = tmp_path / "table.csv"
    assert call(monkeypatch, "results", runs, "--csv", table, "--json", "-") == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 7
    assert "7 rows" in said.err
    assert polars.read_csv(table).height == 7
    assert call(monkeypatch, "results", runs, "--csv", table) == 2
    assert "is there already" in capsys.readouterr().err
    assert call(monkeypatch, "results", runs, "--csv", "-", "--json", "-") == 2


def test_marks_of_crossings_are_explained_where_there_are_any(tmp_path):
    curves = Curves(SIGMA, {"a": {0.5: [0.9], 1.0: [0.8, 0.82]}}, {"float": [0.92]})
    draw_axis_figure(curves, tmp_path / "with.svg", {"a": {0.1: Estimate(1.0, 0.9, 1.1)}})
    text = (tmp_path / "with.svg").read_text()
    assert CROSSING in text
    assert "shade: lowest to highest seed" in text
    draw_axis_figure(curves, tmp_path / "without.svg", {"a": {0.1: Estimate(None, None, None, "above", 1.0)}})
    assert CROSSING not in (tmp_path / "without.svg").read_text()


def test_two_seeds_that_agree_are_no_spread_of_zero():
    row = {"reference": None, "variant": "a", "axes": {}, "error": ""}
    text = as_markdown([{**row, "seed": seed, "accuracy": 0.81} for seed in (0, 1)])
    assert "| a | 81.00 % (2 seeds alike) |" in text
    assert "0.00 %" not in text.replace("81.00 %", "")


def test_a_learning_curve_in_three_formats_with_its_legend_off_the_data(tmp_path):
    (tmp_path / "config.toml").write_text("seed = 0\n")
    lines = [
        {"kind": "epoch", "step": 10 * e, "epoch": e, "loss": 1 / e, "accuracy": 0.2 * e, "test_accuracy": 0.15 * e,
         "seconds": 1.0}
        for e in (1, 2, 3)
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    targets = [tmp_path / f"curve.{suffix}" for suffix in ("png", "pdf", "svg")]
    plot_learning_curve(tmp_path, *targets)
    assert [target.read_bytes()[:4] for target in targets] == [b"\x89PNG", b"%PDF", b"<?xm"]
    svg = targets[2].read_text()
    # The legend is the figure's, below both panels: none is inside an axis.
    assert svg.count('id="legend_') == 1
    assert svg.index('id="legend_1"') > svg.index('id="axes_2"')
    assert "IMC: 45.0%" in svg


@pytest.mark.parametrize(("words", "columns"), [("short", 2), ("a name that is as wide as the figure " * 2, 1)])
def test_a_legend_is_never_wider_than_its_figure_where_one_column_fits(words, columns):
    from imctrain.report.style import legend_outside, subplots

    figure, axis = subplots(figsize=(7, 3), layout="constrained")
    for number in range(4):
        axis.plot([0, 1], label=f"{words} {number}")
    legend_outside(figure, "outside lower center", 2)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert legend._ncols == columns
    assert legend.get_window_extent().width <= figure.bbox.width


def test_a_notebooks_matplotlib_stays_as_it_was(runs, tmp_path, monkeypatch):
    """Its style, its open figures and its backend: `imctrain.train` draws learning curves."""
    import matplotlib.pyplot as plt

    mine = plt.figure()
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 17.0)
    before = (dict(matplotlib.rcParams), plt.get_fignums(), matplotlib.get_backend())
    assert call(monkeypatch, "plot", runs, "--x", SIGMA, "--out", tmp_path / "f") == 0
    assert (dict(matplotlib.rcParams), plt.get_fignums(), matplotlib.get_backend()) == before
    plt.close(mine)


FLOAT = ("--set=imc.path=float", "--set=training.epochs=1", "--set=data.train_limit=128", "--set=tensorboard=false")


@pytest.mark.slow
@pytest.mark.parametrize("named", ["option", "variable"])
def test_any_commands_figures_take_a_style_and_a_papers_width(runs, tmp_path, named):
    style = tmp_path / "paper.mplstyle"
    style.write_text("xtick.labelsize: 6.5\n")
    command = ["run", "-c", "quickstart", *FLOAT, "-o", tmp_path / "run"]
    if named == "option":
        done = spawn("--style", style, "--width", "89mm", *command)
    else:
        done = spawn(*command, IMCTRAIN_STYLE=str(style), IMCTRAIN_WIDTH="89mm")
    assert done.returncode == 0, done.stderr
    svg = (tmp_path / "run" / "learning_curve.svg").read_text()
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(89 / 25.4 * 72, abs=0.1)
    assert "6.5px" in svg


@pytest.mark.parametrize(("option", "value"), [("--style", "no-such"), ("--width", "wide")])
def test_a_look_that_is_none_is_told_before_any_work(monkeypatch, capsys, option, value):
    assert call(monkeypatch, option, value, "run", "-c", "quickstart") == 2
    assert capsys.readouterr().err.startswith(f"imctrain: {option} {value}")
