"""`imctrain calibrate` on lab files: what --dry-run says, what notes a real run leaves, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from lab_files import conversions_of, text_of
from run_tools import call
from tiers import slow

ROWS = conversions_of(3000)
TOLD = ("--rows", "64", "--levels", "16", "--columns", "8", "--bootstrap", "20")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def lab_text() -> str:
    """As an instrument of a German lab writes it: a preamble, semicolons, decimal commas, units."""
    header = "Column [#];Ideal (V/V);Code [LSB];temp_degC;Operator"
    lines = [f"ADC{n};{x.replace('.', ',')};{c};25,0;M\xfcller" for n, x, c in ROWS]
    return "Model;XYZ-1\nDate;2024-01-02\n\n" + "\n".join([header, *lines]) + "\n"


def test_a_dry_run_says_what_is_understood_and_writes_nothing(here, monkeypatch, capsys):
    (here / "lab.csv").write_bytes(lab_text().encode("cp1252"))
    assert call(monkeypatch, "calibrate", "lab.csv", "--dry-run") == 0
    said = capsys.readouterr().out
    assert names(here) == ["lab.csv"]
    assert said.startswith("lab.csv: Windows-1252, fields separated by semicolons, decimal commas, header on line 4")
    for told in (
        "Column [#]   column of the array",
        "-0.99",
        "Operator     not used",
        "3,000 conversions",
        "note: 2 lines above the header on line 4 were passed over",
        "note: numbers have decimal commas (--decimal)",
        "note: 'temp_degC' is taken as `temperature_c`",
        "note: columns are named: 'adc' and a number",
        "nothing was fitted or written (--dry-run)",
    ):
        assert told in said
    first = [line.split() for line in said.splitlines() if line.split()[:1] == ["column"]]
    assert first[-1] == ["column", "v", "code", "range", "temperature_c"]


def test_the_same_is_noted_in_the_calibration(here, monkeypatch, capsys):
    (here / "lab.csv").write_bytes(lab_text().encode("cp1252"))
    assert call(monkeypatch, "calibrate", "lab.csv", "--dry-run") == 0
    dry = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert call(monkeypatch, "calibrate", "lab.csv", *TOLD) == 0
    said = capsys.readouterr().out
    notes = json.loads((here / "lab.json").read_text())["fit"]["warnings"]
    assert [f"note: {note}" for note in notes[: len(dry)]] == dry
    assert all(note in said for note in dry)
    assert said.rstrip().endswith("written to lab.json")
    (here / "plain.csv").write_text(text_of(ROWS))
    assert call(monkeypatch, "calibrate", "plain.csv", *TOLD) == 0
    plain = json.loads((here / "plain.json").read_text())
    assert plain["columns"] == json.loads((here / "lab.json").read_text())["columns"]


def test_a_dry_run_shows_the_table_and_ends_as_a_real_run_would(here, monkeypatch, capsys):
    (here / "m.csv").write_text(text_of(ROWS) + "3,0.5,900\n")
    assert call(monkeypatch, "calibrate", "m.csv", "--dry-run") == 2
    dry = capsys.readouterr()
    assert "3,001 conversions, 1 of them left out" in dry.out
    assert call(monkeypatch, "calibrate", "m.csv", *TOLD) == 2
    assert capsys.readouterr().err == dry.err
    assert names(here) == ["m.csv"]
    assert call(monkeypatch, "calibrate", "m.csv", "--dry-run", "--plot") == 2
    assert "--dry-run writes nothing" in capsys.readouterr().err


def test_rows_left_out_are_recorded(here, monkeypatch, capsys):
    (here / "m.csv").write_text(text_of(ROWS) + "3,0.5,900\n3,,64\n")
    assert call(monkeypatch, "calibrate", "m.csv", *TOLD, "--skip-bad", "0.001") == 0
    note = "2 of 3002 rows (0.0666 %) were left out: 1 have a code outside -128..127 (line 3002: code = 900), 1 lack a"
    assert f"note: {note}" in capsys.readouterr().out
    assert json.loads((here / "m.json").read_text())["fit"]["warnings"][0].startswith(note)


@pytest.mark.parametrize("ranges", [(0.9,), slow((0.9, 0.225)), slow((0.45,))])
def test_ranges_in_volts_are_refused_and_read_with_the_unit(here, monkeypatch, capsys, ranges):
    rng = np.random.default_rng(5)
    largest = max(ranges)
    lines = ["column,ideal,code,range"]
    for k in range(4000):
        volts = ranges[k % len(ranges)]
        share = volts / largest
        v = rng.uniform(-1, 1) * share
        code = int(np.clip(round(128 * v / share + 0.5 * rng.standard_normal()), -128, 127))
        lines.append(f"{rng.integers(8)},{v:.6f},{code},{volts}")
    (here / "m.csv").write_text("\n".join(lines) + "\n")
    assert call(monkeypatch, "calibrate", "m.csv", *TOLD) == 2
    assert f"range{', ' if len(ranges) > 1 else ' '}{largest} looks like volts" in capsys.readouterr().err
    assert names(here) == ["m.csv"]
    if ranges == (0.9,):
        assert call(monkeypatch, "calibrate", "m.csv", *TOLD, "--unit", "range=FS") == 0
    unit = ("--unit", "range=V", "--full-scale", str(largest))
    assert call(monkeypatch, "calibrate", "m.csv", *TOLD, *unit) == 0
    found = json.loads((here / "m.json").read_text())
    assert found["adc"]["range"] == 1.0
    assert np.mean([column["gain"] for column in found["columns"]]) == pytest.approx(1.0, abs=0.003)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--skip-bad", "1.5"), "--skip-bad 1.5 is not possible"),
        (("--codes", "octal"), "--codes octal is not possible: allowed is one of decimal, hex, binary"),
        (("--unit", "range"), "--unit range is not possible: allowed is NAME=VALUE"),
        (("--unit", "range=K"), "--unit range K is not possible: allowed is fs, %, v, mv, uv"),
        (("--unit", "speed=K"), "--unit speed is not possible"),
        (("--field", "code=out"), "has no 'out' that --field names, only 'column', 'ideal', 'code'"),
        (("--ignore", "out"), "has no 'out' that --ignore names"),
        (("--full-scale", "-1"), "--full-scale -1.0 is not possible"),
        (("--separator", "x"), "--separator 'x' is not possible: allowed are comma, semicolon, tab, pipe, blanks"),
        (("--encoding", "klingon"), "--encoding 'klingon' is not possible"),
        (("--first-column", "-1"), "--first-column -1 is not possible"),
    ],
)
def test_options_that_make_no_sense(here, monkeypatch, capsys, options, says):
    (here / "m.csv").write_text(text_of(ROWS[:30]))
    assert call(monkeypatch, "calibrate", "m.csv", "--dry-run", *options) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
