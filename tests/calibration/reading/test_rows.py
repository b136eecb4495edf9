"""Rows that cannot be right: counted by kind, shown with all of their digits, left out where that is asked for."""

from __future__ import annotations

import polars as pl
import pytest
from lab_files import conversions_of, read, text_of, values_of

from imctrain.calibration.reading import csv_table, tally
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.errors import UserError

ROWS = conversions_of(400)
EXPECTED = values_of(ROWS)


def spoilt(**lines: str) -> str:
    """A plain file, with some lines (from 1) in other words: line_7="..."."""
    text = text_of(ROWS).split("\n")
    for name, line in lines.items():
        text[int(name.split("_")[1]) - 1] = line
    return "\n".join(text)


@pytest.fixture
def bad(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(
        spoilt(
            line_7="3,0.5,",
            line_9="3,0.5,200",
            line_12="3,half,64",
            line_15="3,0.5",
            line_20="NA,0.5,64",
            line_31="3,0.5,201",
            line_44="3,1.0500001,127",
            line_46="3,nan,127",
        )
    )
    return path


def test_wrong_rows_are_counted_by_kind_with_lines_and_exact_values(bad):
    with pytest.raises(UserError) as error:
        read(bad)
    message = str(error.value)
    assert message.startswith(
        f"{bad}: row 8 (line 9): code = 200 is outside -128..127, the codes of a bipolar 8-bit ADC"
    )
    assert "; 8 of 400 rows (2 %) are wrong: " in message
    for told in (
        "2 have a code outside -128..127 (lines 9 (code = 200), 31)",
        "2 lack a value (lines 7, 20)",
        "1 have an ideal that is no number (line 12: ideal = 'half')",
        "1 are no rows of the table (line 15: 2 fields where the header has 3)",
        "1 have an ideal outside -1..1 (line 44: ideal = 1.0500001)",
        "1 have no finite ideal (line 46: ideal = NaN)",
        "--skip-bad FRACTION leaves such rows out",
    ):
        assert told in message


def test_they_are_left_out_up_to_the_share_that_is_allowed(bad):
    rows, conversions = read(bad, skip_bad=0.02)
    dropped = {line - 2 for line in (7, 9, 12, 15, 20, 31, 44, 46)}
    assert rows == [row for i, row in enumerate(EXPECTED) if i not in dropped]
    facts = conversions.facts
    assert (facts.rows, facts.left_out) == (400, 8)
    assert facts.notes[0].startswith("8 of 400 rows (2 %) were left out: 2 ")
    assert "1 have an ideal outside -1..1 (line 44: ideal = 1.0500001)" in facts.notes[0]
    with pytest.raises(UserError, match=r"8 of 400 rows \(2 %\) are wrong: .*more than --skip-bad 0.0199 allows"):
        read(bad, skip_bad=0.0199)
    with pytest.raises(UserError, match=r"is more than --skip-bad 0\.01 allows"):
        read(bad, skip_bad=0.01, leave_out_missing=True)
    assert read(bad, skip_bad=0.015, leave_out_missing=True)[0] == rows


def test_lines_are_right_in_any_block(bad, monkeypatch):
    whole = read(bad, skip_bad=0.1)[1].facts.notes
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 300)
    assert read(bad, skip_bad=0.1)[1].facts.notes == whole


def test_a_line_is_right_after_blank_lines_and_comments(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("# chip\n\ncolumn,ideal,code\n1,0.5,64\n\n# warm\n1,0.25,32\n\n1,0.5,999\n\n\n1,0.5,64\n")
    with pytest.raises(UserError, match=r"row 3 \(line 9\): code = 999"):
        read(path)


def test_reading_stops_where_the_file_is_something_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tally, "MANY", 50)
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 2000)
    path = tmp_path / "m.csv"
    table = pl.DataFrame({"column": [1] * 200_000, "ideal": [0.5] * 200_000, "code": [900] * 200_000})
    table.write_csv(path)
    with pytest.raises(UserError, match=r"of the first \d+ rows \(100 %\) are wrong"):
        read(path)


def test_a_hair_beyond_full_scale_is_clipped_and_said(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(spoilt(line_5="3,1.0000021,127", line_6="3,-1.0003,-128"))
    rows, conversions = read(path)
    assert rows[3:5] == [(3, 1.0, 127), (3, -1.0, -128)]
    assert any("2 inputs lie a hair beyond full scale (1.0000021)" in note for note in conversions.facts.notes)
    with pytest.raises(UserError, match=r"ideal = 1.0000021 is outside 0..1 of a unipolar converter|ideal = -"):
        read(path, MeasurementSetup(bits=14, polarity="unipolar"))
    path.write_text(spoilt(line_5="3,1.0020001,127"))
    with pytest.raises(UserError, match=r"row 4 \(line 5\): ideal = 1.0020001 is outside -1..1"):
        read(path)


def test_volts(tmp_path):
    path = tmp_path / "m.csv"
    header = "column,ideal,code,range"
    lines = [f"{n},{0.9 * float(x)!r},{c},0.9" for n, x, c in ROWS]
    path.write_text("\n".join([header, *lines]) + "\n")
    rows, conversions = read(path, full_scale=0.9, units=(("range", "V"), ("ideal", "V")))
    assert [row[::2] for row in rows] == [row[::2] for row in EXPECTED]
    assert [row[1] for row in rows] == pytest.approx([row[1] for row in EXPECTED], abs=1e-15)
    assert any("'ideal' is in V; full scale is 0.9 V" in note for note in conversions.facts.notes)
    batches = list(type(conversions)(path, conversions.setup, how=conversions.how).batches())
    assert batches[0]["range"].unique().to_list() == [1.0]
    path.write_text("\n".join(["Column,Ideal [mV],Code", *(f"{n},{900 * float(x)!r},{c}" for n, x, c in ROWS)]) + "\n")
    rows, conversions = read(path, full_scale=0.9)
    assert [row[1] for row in rows] == pytest.approx([row[1] for row in EXPECTED], abs=1e-15)
    path.write_text(spoilt(line_5="3,1.2,127").replace("ideal", "ideal (V)"))
    with pytest.raises(UserError, match=r"ideal = 1.2 is outside -1..1"):
        read(path, full_scale=1.0)


UNITS = {
    ("temperature_c", "T [K]", "298.15"): 25.0,
    ("temperature_c", "temp_degC", "25"): 25.0,
    ("temperature_c", "Temperature (°F)", "77"): 25.0,
    ("vdd_v", "Vdd [mV]", "800"): 0.8,
    ("time_s", "Time (ms)", "1500"): 1.5,
    ("time_s", "t_us", "2e6"): 2.0,
}


@pytest.mark.parametrize(("role", "header", "text"), UNITS)
def test_units_of_conditions_are_used_and_said(tmp_path, role, header, text):
    path = tmp_path / "m.csv"
    lines = text_of(ROWS).splitlines()
    path.write_text("\n".join([f"{lines[0]},{header}", *(f"{line},{text}" for line in lines[1:])]) + "\n")
    conversions = read(path)[1]
    batch = next(type(conversions)(path, conversions.setup).batches())
    assert batch[role].unique().to_list() == [pytest.approx(UNITS[role, header, text], abs=1e-12)]
    assert any(f"{header!r} is taken as `{role}`" in note for note in conversions.facts.notes)
    plain = header.endswith("degC")
    assert plain or any(f"{header!r} is in " in note for note in conversions.facts.notes)
    assert role not in next(type(conversions)(path, conversions.setup, how=ignoring(header)).batches()).columns


def ignoring(header: str):
    from imctrain.calibration.reading.how import HowToRead

    return HowToRead(ignore=(header,))


def test_kelvin_without_a_unit_is_refused(tmp_path):
    path = tmp_path / "m.csv"
    lines = text_of(ROWS).splitlines()
    path.write_text(
        "\n".join([lines[0] + ",temperature_c", *(f"{x},{300 + i % 3}" for i, x in enumerate(lines[1:]))]) + "\n"
    )
    with pytest.raises(
        UserError, match="temperature_c goes from 300 to 302, which looks like kelvin: give --unit temperature_c=K"
    ):
        read(path)
    assert read(path, units=(("temperature_c", "K"),))[0] == EXPECTED
    assert read(path, units=(("temperature_c", "C"),))[0] == EXPECTED


def test_another_name_without_a_unit_is_not_used_and_said(tmp_path):
    path = tmp_path / "m.csv"
    lines = text_of(ROWS).splitlines()
    path.write_text("\n".join([lines[0] + ",temp", *(f"{line},25" for line in lines[1:])]) + "\n")
    conversions = read(path)[1]
    assert conversions.facts.notes == ("'temp' is not used; it may be `temperature_c` (--field temperature_c='temp')",)


def test_columns_counted_from_one_are_said(tmp_path):
    path = tmp_path / "m.csv"
    rows = conversions_of(60, zero=False)
    path.write_text(text_of(rows))
    conversions = read(path)[1]
    assert any("columns run from 1 to 7 and none is 0" in note for note in conversions.facts.notes)
    with pytest.raises(UserError, match=r"column = 7 is beyond the 7 columns of --columns: .*--first-column 1"):
        read(path, MeasurementSetup(columns=7))
    counted = read(path, MeasurementSetup(columns=7), first_column=1)[0]
    assert counted == [(n - 1, v, c) for n, v, c in values_of(rows)]


def test_a_last_code_that_may_be_cut_is_said(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(text_of(ROWS) + "3,-0.9,-1")
    assert any("the last line has no end and its code (-1)" in note for note in read(path)[1].facts.notes)
    path.write_text(text_of(ROWS) + "3,-0.9,-115")
    assert not read(path)[1].facts.notes


MARKS = {
    "the virtual chip's": ("1", True),
    "words": ("yes", True),
    "none of it": ("0", False),
    "a simulated code": ("26.489", False),
    "text": ("by SPICE", False),
}


@pytest.mark.parametrize("name", MARKS)
def test_only_flags_in_a_column_simulated_are_a_mark(tmp_path, name):
    value, marked = MARKS[name]
    path = tmp_path / "m.csv"
    lines = text_of(ROWS).splitlines()
    path.write_text("\n".join([lines[0] + ",simulated", *(f"{line},{value}" for line in lines[1:])]) + "\n")
    rows, conversions = read(path)
    facts = conversions.facts
    assert rows == EXPECTED
    assert (facts.simulated is not None) == marked
    if marked:
        assert "since its column `simulated` is 1 in 400 rows" in facts.notes[0]
        assert read(path, ignore=("simulated",))[1].facts.simulated is None
    elif value != "0":
        assert "`simulated` has other values than 0 and 1" in facts.notes[0]


def test_the_mark_is_found_out_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 2000)
    path = tmp_path / "m.csv"
    lines = text_of(ROWS).splitlines()
    path.write_text("\n".join([lines[0] + ",simulated", *(f"{line},1" for line in lines[1:]), "0,0.5,64,7.5"]) + "\n")
    facts = read(path)[1].facts
    assert facts.simulated is None
    assert "has other values than 0 and 1" in facts.notes[0]


def test_a_comment_of_the_virtual_chip_marks_a_file_wherever_it_stands(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(text_of(ROWS) + "# imctrain-virtual-chip: calibration ideal (assumed), seed 3\n" + text_of(ROWS))
    conversions = read(path)[1]
    assert conversions.facts.simulated == "calibration ideal (assumed), seed 3"
    assert conversions.facts.rows == 800
