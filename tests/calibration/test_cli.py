"""`imctrain calibrate` and `imctrain chip` as a user runs them: files, exit codes, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from calibration_tools import FULL_SCALE, Chip
from real_chips import chip
from run_tools import call

from imctrain.calibration import Calibration, load_calibration, save_calibration
from imctrain.calibration.reading.endings import without_endings

COLUMNS = 8
TOLD = ("--rows", "1152", "--levels", "16", "--columns", str(COLUMNS))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def conversions(tmp_path_factory) -> str:
    """A CSV of a chip's conversions, without any mark of the virtual chip."""
    path = tmp_path_factory.mktemp("conversions") / "measured.csv"
    Chip(columns=COLUMNS, array=0.5, adc=0.3, inl=0.3).measure(20_000, ranges=(1.0, 0.25)).write_csv(path)
    return path.read_text()


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_measurements_become_a_calibration_and_a_datasheet(here, conversions, monkeypatch, capsys):
    (here / "measured.csv").write_text(conversions)
    assert call(monkeypatch, "calibrate", "measured.csv", *TOLD, "--plot", "--name", "chip 7", "--notes", "probed") == 0
    assert names(here) == ["measured.csv", "measured.json", "measured.pdf", "measured.png"]
    found = load_calibration("measured.json")
    assert (found.name, found.provenance, found.notes) == ("chip 7", "measured", "probed")
    assert found.source is not None
    assert found.source.sha256 == hashlib.sha256(conversions.encode()).hexdigest()
    assert found.source.rows == 20_000
    assert len(found.columns) == COLUMNS
    assert (here / "measured.pdf").read_bytes().startswith(b"%PDF")
    assert (here / "measured.png").read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert "noise before rounding, total" in said
    assert "written to measured.json, measured.png, measured.pdf" in said
    assert call(monkeypatch, "calibrate", "--check", "measured.json", "--check", "ideal") == 0
    assert "measured.json: valid, schema 1.0, measured" in capsys.readouterr().out


@pytest.mark.slow
def test_the_virtual_chip_is_calibrated_to_something_assumed_whose_datasheet_says_so(here, monkeypatch, capsys):
    asked = ("--calibration", "feasible-assumed", "--conversions", "20000", "--columns", "8", "--entrance", "dot")
    assert call(monkeypatch, "chip", "sample", *asked, "--out", "drawn.csv") == 0
    assert call(monkeypatch, "calibrate", "drawn.csv", *TOLD, "--plot") == 0
    found = load_calibration("drawn.json")
    assert found.provenance == "assumed"
    assert "drawn by imctrain's virtual chip, calibration feasible-assumed" in found.notes
    assert "drawn: assumed, not measured" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_said_to_be_no_chips_is_not_measured(here, conversions, monkeypatch):
    (here / "spice.csv").write_text(conversions)
    assert call(monkeypatch, "calibrate", "spice.csv", *TOLD, "--assumed") == 0
    found = load_calibration("spice.json")
    assert found.provenance == "assumed"
    assert found.source is None
    assert found.notes.startswith("Not a measurement of a chip")


@pytest.mark.slow
def test_two_calibrations_side_by_side(here, conversions, monkeypatch, capsys):
    (here / "monday.csv").write_text(conversions)
    assert call(monkeypatch, "calibrate", "monday.csv", *TOLD) == 0
    monday = load_calibration("monday.json")
    louder = monday.noise.model_copy(
        update={
            name: getattr(monday.noise, name).model_copy(
                update={key: 1.5 * getattr(getattr(monday.noise, name), key) for key in ("value", "low", "high")}
            )
            for name in ("sigma_lsb", "sigma_array_lsb", "sigma_adc_lsb")
        }
    )
    save_calibration(monday.model_copy(update={"name": "friday", "noise": louder}), here / "friday.json")
    capsys.readouterr()
    assert call(monkeypatch, "calibrate", "friday.json", "--compare", "monday.json") == 0
    said = capsys.readouterr().out
    total = next(line for line in said.splitlines() if line.startswith("noise before rounding"))
    # The new one less the old one: friday is louder than monday by half of monday.
    assert "+0.293 (+50.0%)" in total
    assert "A - B: the given file (A, new) less the one it is compared with (B, old)" in said
    assert total.endswith("apart")
    assert "8 columns in both: gains differ by 0.000 % rms (correlation 1.000)" in said
    assert {"friday-vs-monday.png", "friday-vs-monday.pdf"} <= set(names(here))
    # Beside fresh measurements too, and beside one that lists no columns.
    assert call(monkeypatch, "calibrate", "monday.csv", *TOLD, "--compare", "vlsi21-28nm-assumed") == 0
    assert "no column is listed in both" in capsys.readouterr().out
    assert "monday-vs-vlsi21-28nm-assumed.png" in names(here)


def line_of(rng: np.random.Generator, factor: float = 1.0, kind: str = "ideal") -> str:
    v = rng.uniform(-1, 1)
    code = int(np.clip(np.round(128 * factor * v + 0.5 * rng.standard_normal()), -128, 127))
    return f"{rng.integers(COLUMNS)},{round(v * FULL_SCALE) if kind == 'dot' else round(v, 6)},{code}"


def table(line, header: str = "column,ideal,code", rows: int = 2000) -> str:
    rng = np.random.default_rng(4)
    return "\n".join([header, *(line(rng) for _ in range(rows))]) + "\n"


def swapped(line: str) -> str:
    column, ideal, code = line.split(",")
    return f"{column},{code},{ideal}"


UNUSABLE = {
    "empty": ("", (), "the file is empty"),
    "no rows": ("column,ideal,code\n", (), "row 1 (line 2): there is only a header"),
    "missing column": ("column,ideal\n1,0.5\n", (), "lacks code; it names 'column', 'ideal'"),
    "text": ("column,ideal,code\n1,0.5,3\n1,x,3\n", (), "row 2 (line 3): ideal = 'x' is not a number"),
    "NaN": ("column,ideal,code\n1,nan,3\n", (), "row 1 (line 2): ideal is NaN"),
    "code of another ADC": ("column,ideal,code\n1,0.5,200\n", (), "code = 200 is outside -128..127"),
    "beyond full scale": ("column,ideal,code\n1,1.5,20\n", (), "ideal = 1.5 is outside -1..1"),
    "one column": (table(lambda rng: "3" + line_of(rng)[1:]), (), "all are of column 3"),
    "constant code": (table(lambda rng: line_of(rng, 0.0).rsplit(",", 1)[0] + ",7"), (), "every code is 7"),
    "inverted": (table(lambda rng: line_of(rng, -1.0)), (), "change the sign of one of the two"),
    "swapped": (table(lambda rng: swapped(line_of(rng))), (), "are ideal and code swapped"),
    "unrelated": (table(lambda rng: line_of(rng, 0.0)), (), "code follows the input in no column"),
    "dot without rows": (table(lambda rng: line_of(rng, kind="dot"), "column,dot,code"), (), "--rows N and --levels L"),
    "too few --rows": (
        table(lambda rng: line_of(rng, kind="dot"), "column,dot,code"),
        ("--rows", "576", "--levels", "16"),
        "beyond full scale, --rows 576 x --levels 16 = 9216",
    ),
    "too many --rows": (
        table(lambda rng: line_of(rng, kind="dot"), "column,dot,code"),
        ("--rows", "1536", "--levels", "16"),
        "gain is 1.33 of nominal, which no converter has: give the chip's own --rows",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE, ids=lambda case: case.replace(" ", "-"))
def test_bad_input_is_one_line_and_leaves_nothing_behind(here, monkeypatch, capsys, case):
    content, options, says = UNUSABLE[case]
    (here / "m.csv").write_text(content)
    assert call(monkeypatch, "calibrate", "m.csv", *options, "--plot") == 2
    error = capsys.readouterr().err
    assert error.startswith("imctrain: m.csv: ")
    assert error.count("\n") == 1
    assert says in error
    assert "row" in error
    assert names(here) == ["m.csv"]


def test_a_failure_while_writing_leaves_nothing_behind(here, conversions, monkeypatch):
    from imctrain.calibration.datasheet import page

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device", "measured.png")

    (here / "measured.csv").write_text(conversions)
    monkeypatch.setattr(page, "draw_datasheet", fails)
    assert call(monkeypatch, "calibrate", "measured.csv", *TOLD, "--plot") == 2
    assert names(here) == ["measured.csv"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("measured.csv", "--out", "measured.csv"), "a calibration is JSON"),
        (("measured.csv", "--out", "notes.json"), "there is a file that is not a calibration"),
        (("measured.csv", "--out", "nowhere/a.json"), "folder nowhere does not exist"),
        (("measured.csv", "--compare", "nobody"), "calibration 'nobody' not found"),
        (("measured.csv", "--die", "d9"), "--die d9 is not in the file: it has no column `die`"),
        (("measured.csv", "--bootstrap", "3"), "--bootstrap 3 is not possible"),
        (("measured.csv", "--bits", "99"), "--bits 99 is not possible"),
        (("old.json", "--compare", "ideal"), "schema_version 2.0 is not supported"),
        (("--check", "old.json"), "schema_version 2.0 is not supported"),
        (("--check", "notes.json"), "schema_version is None"),
        (("--check", "ideal", "--plot"), "--check only validates"),
        ((), "calibrate needs a FILE"),
        (("absent.csv",), "absent.csv: no such file"),
        (("nothing", "--dry-run"), "nothing: it is a folder: give a file of conversions in it"),
        *(
            ((folder,), f"{folder}: it is a folder: give a file of conversions in it")
            for folder in ("nothing", ".", "..")
        ),
        (("--check", "nothing"), "calibration 'nothing' is a folder: give a calibration JSON in it"),
        (("measured.csv", "--compare", "nothing"), "calibration 'nothing' is a folder"),
    ],
)
def test_requests_that_make_no_sense_change_nothing(here, conversions, monkeypatch, capsys, arguments, says):
    (here / "measured.csv").write_text(conversions)
    (here / "notes.json").write_text('{"milk": 2}')
    (here / "old.json").write_text('{"schema_version": "2.0"}')
    (here / "nothing").mkdir()
    before = {path: path.read_text() for path in here.rglob("*.*")}
    assert call(monkeypatch, "calibrate", *arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert {path: path.read_text() for path in here.rglob("*.*")} == before


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("chip7_0.80V.csv", "chip7_0.80V"),
        ("chip7_0.72V.csv.gz", "chip7_0.72V"),
        ("chip7_0.72V", "chip7_0.72V"),
        ("m.PARQUET", "m"),
        ("m.v2.txt.zip", "m.v2"),
        ("m.tsv.xz.gz", "m"),
        ("m.gz", "m"),
        ("m.meas", "m.meas"),
        (".csv", ".csv"),
        (".gz", ".gz"),
    ],
)
def test_only_known_endings_of_tables_are_left_out_of_names(name, stem):
    assert without_endings(name) == stem


def test_files_whose_names_differ_behind_a_dot_become_two_calibrations(here, conversions, monkeypatch):
    for supply in ("0.80", "0.72"):
        (here / f"chip7_{supply}V.csv").write_text(conversions)
        assert call(monkeypatch, "calibrate", f"chip7_{supply}V.csv", *TOLD, "--bootstrap", "20", "--plot") == 0
    for supply in ("0.80", "0.72"):
        assert {f"chip7_{supply}V{suffix}" for suffix in (".csv", ".json", ".pdf", ".png")} <= set(names(here))
        assert load_calibration(f"chip7_{supply}V.json").name == f"chip7_{supply}V"
    compared = ("calibrate", "chip7_0.80V.json", "--compare", "chip7_0.72V.json")
    assert call(monkeypatch, *compared) == 0
    assert call(monkeypatch, *compared, "--out", "friday_0.80V") == 0
    for stem in ("chip7_0.80V", "friday_0.80V"):
        assert f"{stem}-vs-chip7_0.72V.png" in names(here)


def test_a_guessed_range_that_does_not_fit_says_how_to_leave_it_out(here, monkeypatch, capsys):
    rows = [f"{line},0.5" for line in table(line_of).splitlines()[1:]]
    (here / "m.csv").write_text("\n".join(["column,ideal,code,R", *rows]) + "\n")
    assert call(monkeypatch, "calibrate", "m.csv", *TOLD) == 2
    error = capsys.readouterr().err
    assert "looks like volts" in error
    assert error.endswith("or --ignore 'R' if that column is no range\n")
    assert call(monkeypatch, "calibrate", "m.csv", *TOLD, "--ignore", "R", "--bootstrap", "20") == 0


def test_the_json_schema_knows_every_field(monkeypatch, capsys):
    assert call(monkeypatch, "schema", "calibration") == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(Calibration.model_fields)
    assert {"name", "provenance", "noise"} <= set(schema["required"])


def test_lists_with_commas_are_as_repeated_options(here, monkeypatch, capsys):
    save_calibration(chip(), here / "known.json")
    common = ("chip", "sample", "--calibration", "known.json", "--conversions", "3000", "--dies", "3")
    lists = ("--temperature", "-40,25,85", "--supply", "0.72,0.88", "--range", "1,0.25")
    repeated = ("--temperature", "-40", "--temperature", "25", "--temperature", "85", "--vdd", "0.72", "--vdd", "0.88")
    assert call(monkeypatch, *common, *lists, "--out", "a.csv") == 0
    assert call(monkeypatch, *common, *repeated, "--range", "1", "--range", "0.25", "--out", "b.csv") == 0
    assert (here / "a.csv").read_text() == (here / "b.csv").read_text()
    table = pl.read_csv(here / "a.csv", comment_prefix="#")
    assert sorted(table["temperature_c"].unique()) == [-40, 25, 85]
    assert sorted(table["vdd_v"].unique()) == [0.72, 0.88]
    assert sorted(table["die"].unique()) == ["d0", "d1", "d2"]
    capsys.readouterr()
    assert call(monkeypatch, *common, "--temperature", "25,hot", "--out", "c.csv") == 2
    assert "--temperature 'hot' is no number: give one, or several with commas" in capsys.readouterr().err
