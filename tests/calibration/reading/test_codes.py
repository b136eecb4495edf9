"""Codes in every form that read-outs write: hexadecimal, binary, patterns of bits, bits and ADCs in columns."""

from __future__ import annotations

import polars as pl
import pytest
from lab_files import conversions_of, read, text_of, values_of

from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.errors import UserError

ROWS = conversions_of()
EXPECTED = values_of(ROWS)


def coded(form) -> str:
    return "column,ideal,code\n" + "".join(f"{n},{x},{form(c)}\n" for n, x, c in ROWS)


FORMS = {
    "0x78": lambda c: f"0x{c & 255:02X}",
    "0X78, no zeros": lambda c: f"0X{c & 255:x}",
    "78h": lambda c: f"0{c & 255:02X}h",
    "8'h78": lambda c: f"8'h{c & 255:02x}",
    "$78": lambda c: f"${c & 255:02X}",
    "signs in 16 bits": lambda c: f"0x{c & 0xFFFF:04X}",
    "0b01111000": lambda c: f"0b{c & 255:08b}",
    "8'b0111_1000": lambda c: f"8'b{(c & 255) >> 4:04b}_{c & 15:04b}",
    "offset binary": lambda c: f"0x{c + 128:02X}",
}


@pytest.mark.parametrize("name", FORMS)
def test_patterns_of_bits(tmp_path, name):
    path = tmp_path / "m.csv"
    path.write_text(coded(FORMS[name]))
    rows, conversions = read(path)
    assert rows == EXPECTED
    base, form = (
        ("binary" if "b" in name[:3] else "hexadecimal"),
        name if name == "offset binary" else "two's complement",
    )
    notes = conversions.facts.notes
    assert f"codes are {base} (--codes)" in notes
    assert f"codes are read as {form} of 8 bits (--codes)" in notes


DECIMALS = {
    "twos-complement": lambda c: c & 255,
    "twos-complement in 16 bits": lambda c: c & 0xFFFF,
    "twos-complement in 32 bits": lambda c: c & 0xFFFFFFFF,
    "offset-binary": lambda c: c + 128,
}


@pytest.mark.parametrize("name", DECIMALS)
def test_patterns_that_were_read_as_numbers_are_told_and_read_with_the_option(tmp_path, name):
    path = tmp_path / "m.csv"
    path.write_text(coded(DECIMALS[name]))
    form = name.split(" ")[0]
    with pytest.raises(UserError, match=f"is outside -128..127.*codes look like .*give --codes {form}") as error:
        read(path)
    assert "rows (" in str(error.value)
    assert read(path, form=form)[0] == EXPECTED


def test_an_option_that_does_not_fit_the_codes_is_told(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(coded(lambda c: c))
    with pytest.raises(UserError, match=r"code = -\d+ is outside 0..255, the patterns of 8 bits"):
        read(path, form="twos-complement")
    with pytest.raises(UserError, match="it does not go with --polarity unipolar"):
        read(path, MeasurementSetup(polarity="unipolar"), form="twos-complement")
    with pytest.raises(UserError, match="it does not go with --zero-code 128"):
        read(path, MeasurementSetup(zero_code=128), form="offset-binary")


def test_what_codes_look_like_is_told(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(coded(lambda c: c * 4 + 1))
    with pytest.raises(UserError, match="codes look like those of 10 bits: give --bits 10"):
        read(path)
    positive = [(n, x.lstrip("-"), int(256 * abs(float(x)))) for n, x, _ in ROWS]
    path.write_text(text_of(positive))
    with pytest.raises(UserError, match="codes look like those of a unipolar ADC: give --polarity unipolar"):
        read(path)
    path.write_text(coded(lambda c: c + 0.13))
    with pytest.raises(UserError, match=r"100 % of the codes are no integers: they look averaged"):
        read(path)
    path.write_text(coded(lambda c: c / 160 + 0.0003))
    with pytest.raises(UserError, match="they look like volts, not like codes"):
        read(path)


def test_inputs_in_another_unit_are_told(tmp_path):
    path = tmp_path / "m.csv"
    for factor, says in (
        (100, "in percent: give --unit ideal=%"),
        (128, "in LSB: give --unit ideal=LSB"),
        (900, "full scale"),
    ):
        path.write_text("column,ideal,code\n" + "".join(f"{n},{float(x) * factor:.4f},{c}\n" for n, x, c in ROWS))
        with pytest.raises(UserError, match=f"inputs look .*{says}"):
            read(path)
    path.write_text("column,ideal,code\n" + "".join(f"{n},{float(x) * 128},{c}\n" for n, x, c in ROWS))
    assert read(path, units=(("ideal", "LSB"),))[0] == EXPECTED


def test_patterns_that_follow_no_input_are_refused(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(coded(lambda c: f"0x{(c * 77) & 255:02X}"))
    with pytest.raises(UserError, match="neither as two's complement nor as offset binary: give --codes"):
        read(path)


@pytest.mark.parametrize("name", ["b{}", "bit{}", "D[{}]", "Bit {}", "q_{}", "dout<{}>"])
@pytest.mark.parametrize("falling", [True, False])
def test_bits_in_columns(tmp_path, name, falling):
    order = range(7, -1, -1) if falling else range(8)
    lines = ["column,ideal," + ",".join(name.format(k) for k in order)]
    lines += [f"{n},{x}," + ",".join(str((c & 255) >> k & 1) for k in order) for n, x, c in ROWS]
    path = tmp_path / "m.csv"
    path.write_text("\n".join(lines) + "\n")
    rows, conversions = read(path)
    assert rows == EXPECTED
    notes = conversions.facts.notes
    assert any("codes are put together from bits" in note and "counts least" in note for note in notes)
    assert "codes are read as two's complement of 8 bits (--codes)" in notes
    with pytest.raises(UserError, match="codes have 8 bits in as many columns: give --bits 8"):
        read(path, MeasurementSetup(bits=6))
    path.write_text("\n".join([*lines[:3], lines[3][:-1] + "2", *lines[4:]]) + "\n")
    with pytest.raises(UserError, match=r"row 3 \(line 4\): a bit of the code is neither 0 nor 1"):
        read(path)


WIDE = ("col{}", "ADC{}", "Col {}", "ch[{}]", "{}", "code_{}", "y{}", "adc-{} (LSB)")


def wide(name: str, first: int = 0, extra: bool = False, hole: bool = False) -> tuple[str, list]:
    """A column for each ADC, and the conversions in the table's order."""
    lines = ["ideal," + ",".join(name.format(n + first) for n in range(4)) + (",time_s" if extra else "")]
    expected = []
    for k in range(30):
        x = -1 + k / 15
        codes = [max(-128, min(127, round(128 * x) + n)) for n in range(4)]
        shown = [str(c) for c in codes]
        if hole and k == 7:
            shown[2] = ""
        lines.append(f"{x:.6f},{','.join(shown)}" + (f",{k}" if extra else ""))
        expected += [(n, float(f"{x:.6f}"), c) for n, c in enumerate(codes) if shown[n]]
    return "\n".join(lines) + "\n", expected


@pytest.mark.parametrize("name", WIDE)
def test_a_column_for_each_adc(tmp_path, name):
    path = tmp_path / "m.csv"
    text, expected = wide(name, extra=True)
    path.write_text(text)
    rows, conversions = read(path)
    assert rows == expected
    assert conversions.facts.rows == 120
    assert any("a wide table" in note and "codes of 4 columns of the array" in note for note in conversions.facts.notes)
    path.write_text(wide(name, first=1)[0])
    rows, conversions = read(path)
    assert any("are they counted from 1 (--first-column 1)" in note for note in conversions.facts.notes)
    assert [row[0] for row in rows[:4]] == [1, 2, 3, 4]
    assert read(path, first_column=1)[0] == expected


def test_holes_of_a_wide_table_are_missing_conversions(tmp_path):
    path = tmp_path / "m.csv"
    text, expected = wide("col{}", hole=True)
    path.write_text(text)
    with pytest.raises(UserError, match=r"row 8 \(line 9\): code is missing.*; 1 of 120 rows lack a value"):
        read(path)
    assert read(path, leave_out_missing=True)[0] == expected


def test_a_wide_table_of_patterns_and_one_in_parquet(tmp_path):
    path = tmp_path / "m.csv"
    text, expected = wide("col{}")
    head, *lines = text.splitlines()
    coded_lines = [",".join([f[0], *(f"0x{int(c) & 255:02X}" for c in f[1:])]) for f in (x.split(",") for x in lines)]
    path.write_text("\n".join([head, *coded_lines]) + "\n")
    assert read(path)[0] == expected
    parquet = tmp_path / "m.parquet"
    path.write_text(text)
    pl.read_csv(path).write_parquet(parquet)
    assert read(parquet)[0] == expected


def test_one_adc_of_a_wide_table(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("ideal,ADC3\n" + "".join(f"{x},{c}\n" for _, x, c in ROWS))
    assert read(path)[0] == [(3, v, c) for _, v, c in EXPECTED]


def test_repeats_in_columns(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("column,ideal,code_0,code_1\n" + "".join(f"{n},{x},{c},{c}\n" for n, x, c in ROWS))
    rows, conversions = read(path)
    assert rows == [row for row in EXPECTED for _ in range(2)]
    assert any("codes of 2 repeats of one conversion" in note for note in conversions.facts.notes)


def test_parquet_with_text_in_it(tmp_path):
    path = tmp_path / "m.parquet"
    table = pl.DataFrame(ROWS, schema=["Column [#]", "ideal", "code"], orient="row")
    named = table.with_columns(pl.format("ADC{}", pl.col("Column [#]")).alias("Column [#]"))
    named.write_parquet(path)
    assert read(path)[0] == EXPECTED
