"""No command writes over a file of the user's: it refuses before it works, and names --force."""

from __future__ import annotations

import click
import pytest
import typer.main
from run_tools import call

from imctrain.cli import app

MINE = "measured on a Friday night\n"
# Command: what is given, the file that is in its way, and (for those that work on a run) "RUN" for one.
WRITERS = {
    "calibrate": (["calibrate", "IN/m.csv", "--plot", "--out", "OUT/c.json"], "c.png"),
    "calibrate, compared": (
        ["calibrate", "IN/m.csv", "--plot", "--compare", "feasible-assumed", "--out", "OUT/c.json"],
        "c.pdf",
    ),
    "calibrate, no calibration": (["calibrate", "IN/m.csv", "--out", "OUT/notes.json"], "notes.json"),
    "chip sample": (["chip", "sample", "--calibration", "ideal", "--out", "OUT/m.csv"], "m.csv"),
    "chip sample, truth": (
        ["chip", "sample", "--calibration", "ideal", "--out", "OUT/m.csv", "--truth", "OUT/t.json"],
        "t.json",
    ),
    "claims": (["claims", "RUNS", "--out", "OUT/s.json"], "s.json"),
    "cost": (["cost", "-c", "quickstart", "--plot", "OUT/cost.png"], "cost.png"),
    "evaluate": (["evaluate", "RUN", "--dies", "2", "--out", "OUT"], "dies.png"),
    "export": (["export", "RUN", "--out", "OUT/net.npz"], "net.npz"),
    "mapping-snr": (["mapping-snr", "IN/m.csv", "--out", "OUT"], "mapping_snr.json"),
    "new": (["new", "OUT"], "model.py"),
    "pareto": (["pareto", "RUNS", "--out", "OUT"], "pareto.svg"),
    "plot": (["plot", "RUNS", "--x", "seed", "--out", "OUT/p"], "p.pdf"),
    "record": (["record", "--run", "RUN", "--out", "OUT/g.npz"], "g.npz"),
    "report": (["report", "RUNS", "--out", "OUT/page.html"], "page.html"),
    "results": (["results", "RUNS", "--csv", "OUT/r.csv"], "r.csv"),
}


@pytest.mark.parametrize("what", WRITERS)
def test_a_file_that_is_there_stays(what, finished, tmp_path, monkeypatch, capsys):
    command, name = WRITERS[what]
    places = {"IN": tmp_path / "in", "OUT": tmp_path / "out", "RUNS": finished.parent, "RUN": finished}
    for place in (places["IN"], places["OUT"]):
        place.mkdir()
    (places["IN"] / "m.csv").write_text("column,ideal,code\n" + "".join(f"0,{v},{v}\n" for v in range(-50, 50)))
    mine = places["OUT"] / name
    mine.write_text(MINE)
    given = []
    for text in command:
        place, *rest = text.split("/")
        given.append(places[place].joinpath(*rest) if place in places else text)
    assert call(monkeypatch, *given) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(places["OUT"]) in told
    assert name in told
    assert "--force" in told or what == "calibrate, no calibration"
    assert mine.read_text() == MINE
    assert [path.name for path in places["OUT"].iterdir()] == [name]


def test_every_command_that_may_be_forced_is_tried():
    def forced(group: click.Group, name: str = "") -> set[str]:
        found = set()
        for key, command in group.commands.items():
            full = f"{name} {key}".strip()
            if hasattr(command, "commands"):
                found |= forced(command, full)
            elif any("--force" in option.opts for option in command.params):
                found.add(full)
        return found

    assert forced(typer.main.get_command(app)) == {what.partition(",")[0] for what in WRITERS}
