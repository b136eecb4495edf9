"""Every way in which a lab writes the same table gives the same conversions, exactly, and what is guessed is said."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
from lab_files import conversions_of, read, text_of, values_of

from imctrain.calibration.reading import csv_table
from imctrain.errors import UserError

ROWS = conversions_of()
PLAIN = text_of(ROWS)
EXPECTED = values_of(ROWS)


def commas(text: str, separator: str) -> str:
    return text.replace(",", separator).replace(".", ",")


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def savetxt(delimiter: str = " ", comments: str = "# ") -> str:
    lines = [comments + "column ideal code"]
    lines += [delimiter.join(f"{float(x):.18e}" for x in row) for row in ROWS]
    return "\n".join(lines) + "\n"


def with_column(name: str, value: str) -> str:
    return "".join(line + f",{value if i else name}\n" for i, line in enumerate(PLAIN.splitlines()))


def named(form: str) -> str:
    return "\n".join(["column,ideal,code", *(f"{form.format(n)},{x},{c}" for n, x, c in ROWS)]) + "\n"


PREAMBLE = 'Model,XYZ-1\nFirmware,1.2\nDate,2024-01-02 12:00:01\nPoints,4000\nComment,"a, b"\n\n'

# name: (content, words that the notes must hold, "" where nothing is to be said)
LAYOUTS: dict[str, tuple[str | bytes, str]] = {
    "plain": (PLAIN, ""),
    "windows": (PLAIN.replace("\n", "\r\n"), ""),
    "old mac": (PLAIN.replace("\n", "\r"), ""),
    "doubled carriage returns": (PLAIN.replace("\n", "\r\r\n"), ""),
    "semicolons": (PLAIN.replace(",", ";"), ""),
    "tabs": (PLAIN.replace(",", "\t"), ""),
    "pipes": (PLAIN.replace(",", "|"), ""),
    "pipes and blanks": (PLAIN.replace(",", " | "), ""),
    "blanks": (PLAIN.replace(",", " "), ""),
    "aligned": ("".join("{:>8}  {:>12} \t {:>5}\n".format(*line.split(",")) for line in PLAIN.splitlines()), ""),
    "sep line": ("sep=;\n" + PLAIN.replace(",", ";"), ""),
    "sep line, quoted, windows": ('"sep=\t"\r\n' + PLAIN.replace(",", "\t").replace("\n", "\r\n"), ""),
    "decimal commas and semicolons": (commas(PLAIN, ";"), "decimal commas"),
    "decimal commas and tabs": (commas(PLAIN, "\t"), "decimal commas"),
    "decimal commas and blanks": (commas(PLAIN, " "), "decimal commas"),
    "sep line and decimal commas": ("SEP=;\n" + commas(PLAIN, ";"), "decimal commas"),
    "decimal commas in quotes": (
        "column,ideal,code\n" + "".join('{},"{}",{}\n'.format(n, x.replace(".", ","), c) for n, x, c in ROWS),
        "decimal commas",
    ),
    "unicode minus": (PLAIN.replace("-", "\N{MINUS SIGN}"), ""),
    "en dash": (PLAIN.replace("-", "\N{EN DASH}"), ""),
    "fullwidth minus": (PLAIN.replace("-", "\N{FULLWIDTH HYPHEN-MINUS}"), ""),
    "no-break spaces": (PLAIN.replace(",", "\N{NO-BREAK SPACE},\N{NO-BREAK SPACE}"), ""),
    "preamble": (PREAMBLE + PLAIN, "5 lines above the header on line 7 were passed over, the first 'Model,XYZ-1'"),
    "preamble of other width": ("Lab 3; chip 7; 2024\nx\n" + PLAIN, "2 lines above the header"),
    "preamble with sections": ("[info]\nv=1.2\n[data]\n" + PLAIN, "3 lines above the header"),
    "header behind #": ("# chip 7\n#column,ideal,code\n" + PLAIN.split("\n", 1)[1], ""),
    "header behind %": ("% column,ideal,code\n" + PLAIN.split("\n", 1)[1], ""),
    "savetxt": (savetxt(), ""),
    "savetxt with commas": (savetxt(",").replace("column ideal code", "column,ideal,code"), ""),
    "header with commas over blanks": (savetxt().replace("column ideal code", "column,ideal,code"), ""),
    "Fortran's exponents": (savetxt().replace("e+", "D+").replace("e-", "D-"), ""),
    "trailing comma in rows": (PLAIN.replace("\n", ",\n").replace("code,", "code", 1), ""),
    "trailing comma everywhere": (PLAIN.replace("\n", ",\n"), ""),
    "trailing comma in the header": (PLAIN.replace("code\n", "code,\n"), ""),
    "trailing commas of a spreadsheet": (PLAIN.replace("\n", ",,,\n"), ""),
    "comments among the rows": (PLAIN.replace("\n", "\n# cooled down\n", 9), "comments among the rows"),
    "repeated header": (
        text_of(ROWS[:20]) + text_of(ROWS[20:50], "Column,Ideal,CODE") + text_of(ROWS[50:]),
        "the header is repeated on lines 22, 53, as where files were joined",
    ),
    "no line end at the end": (PLAIN[:-1], ""),
    "cut last line": (PLAIN + "3,0.5", "the last line (62) is cut off ('3,0.5') and was left out"),
    "cut in the last number": (PLAIN + "3,0.5,-", "the last line (62) is cut off"),
    "cut before the last number": (PLAIN + "3,0.5,", "the last line (62) is cut off"),
    "zeros at the end": (PLAIN.encode() + bytes(600), ""),
    "end of a DOS file": (PLAIN + "\x1a", ""),
    "byte-order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), ""),
    "UTF-16 LE with mark": (b"\xff\xfe" + PLAIN.encode("utf-16-le"), ""),
    "UTF-16 BE with mark": (b"\xfe\xff" + PLAIN.encode("utf-16-be"), ""),
    "UTF-16 LE, no mark": (PLAIN.encode("utf-16-le"), "no byte-order mark and is read as UTF-16 LE (--encoding)"),
    "UTF-16 BE, no mark": (PLAIN.encode("utf-16-be"), "no byte-order mark and is read as UTF-16 BE (--encoding)"),
    "UTF-32": (b"\xff\xfe\0\0" + PLAIN.encode("utf-32-le"), ""),
    "UTF-16, semicolons, decimal commas": (commas(PLAIN, ";").encode("utf-16"), "decimal commas"),
    "Windows-1252 in an unused name": (with_column("W\xe4rme", "25").encode("cp1252"), "line 1 is not UTF-8"),
    "Windows-1252 in unused values": (with_column("note", "25 \xb0").encode("cp1252"), "line 2 is not UTF-8"),
    "Windows-1252 dash": (PLAIN.replace("-", "\N{EN DASH}").encode("cp1252"), "is read as Windows-1252"),
    "gzip": (gzip.compress(PLAIN.encode()), ""),
    "bz2": (bz2.compress(PLAIN.encode()), ""),
    "xz": (lzma.compress(PLAIN.encode()), ""),
    "zip": (zipped(("m.csv", PLAIN.encode())), ""),
    "zip of a Mac": (zipped(("a/", b""), ("a/m.csv", PLAIN.encode()), ("__MACOSX/a/._m.csv", b"x")), ""),
    "gzip in zip": (zipped(("m.csv.gz", gzip.compress(PLAIN.encode()))), ""),
    "UTF-16 in xz": (lzma.compress(PLAIN.encode("utf-16")), ""),
    "units in brackets": (PLAIN.replace("column,ideal,code", "Column [#],Ideal (V/V),Code [LSB]"), ""),
    "units in braces": (PLAIN.replace("column,ideal,code", "Column {idx}, Ideal <FS>, Code / LSB"), ""),
    "a row of units": (PLAIN.replace("code\n", "code\n#,V/V,LSB\n"), "line 2 holds units"),
    "blanks and units": (PLAIN.replace(",", " ").replace("column ideal code", "Column [#] Ideal (V/V) Code [LSB]"), ""),
    "other names": (
        PLAIN.replace("column,ideal,code", "ADC,Vin,Output Code"),
        "'ADC' is taken as `column` (--field column=HEADER, or --ignore 'ADC')",
    ),
    "value in LSB": (PLAIN.replace("column,ideal,code", "ch,x,value (LSB)"), "'value (LSB)' is taken as `code`"),
    "an index without a name": (
        "".join(f"{i if i else ''},{line}\n" for i, line in enumerate(PLAIN.splitlines())),
        "",
    ),
    "quoted names": (PLAIN.replace("column,ideal,code", '"column","ideal","code"'), ""),
    "ADC6": (named("ADC{}"), "columns are named: 'adc' and a number"),
    "Col 3": (named("Col {}"), "columns are named: 'col ' and a number"),
    "ch[3]": (named("ch[{}]"), "columns are named"),
    "ADC-03": (named("ADC-{:02d}"), "columns are named"),
    "#5": (named("#{}"), "columns are named"),
    "percent": (
        "column,ideal (%),code\n" + "".join(f"{n},{100 * float(x):.4f},{c}\n" for n, x, c in ROWS),
        "'ideal (%)' is in % (--unit ideal=UNIT)",
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_conversions(tmp_path, name):
    content, says = LAYOUTS[name]
    path = tmp_path / "m.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows, conversions = read(path)
    if name == "percent":
        assert [row[::2] for row in rows] == [row[::2] for row in EXPECTED]
        assert [row[1] for row in rows] == pytest.approx([row[1] for row in EXPECTED], abs=1e-12)
    else:
        assert rows == EXPECTED
    notes = conversions.facts.notes
    assert any(says in note for note in notes) if says else not notes
    assert conversions.facts.left_out == 0


def test_zstandard(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = tmp_path / "m.csv.zst"
    with pa.OSFile(str(path), "wb") as raw, pa.CompressedOutputStream(raw, "zstd") as out:
        out.write(PLAIN.encode())
    assert read(path)[0] == EXPECTED
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="the zst file is damaged or cut off here"):
        read(path)


@pytest.mark.parametrize("name", ["blanks", "decimal commas and semicolons", "repeated header", "UTF-16 LE with mark"])
def test_blocks_join_where_they_were_cut(tmp_path, monkeypatch, name):
    content = LAYOUTS[name][0]
    path = tmp_path / "m.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 100)
    assert read(path)[0] == EXPECTED


def test_both_parsers_give_the_same_numbers(tmp_path):
    """Numbers of any length, read fast from a plain file and line by line from one with a comment."""
    texts = [f"{(-1) ** k * (k / 997):.{k % 25}e}" for k in range(990)]
    lines = [f"{k % 7},{text},{k % 100}" for k, text in enumerate(texts)]
    fast, slow = tmp_path / "fast.csv", tmp_path / "slow.csv"
    fast.write_text("column,ideal,code\n" + "\n".join(lines) + "\n")
    slow.write_text("column,ideal,code\n# by hand\n" + "\n".join(lines) + "\n")
    rows, slowly = read(fast)[0], read(slow)[0]
    assert rows == slowly == [(k % 7, float(text), k % 100) for k, text in enumerate(texts)]


TOLD: dict[str, tuple[str | bytes, str]] = {
    "several members": (zipped(("a.csv", b"1"), ("b.csv", b"2")), "the zip archive has 2 files (a.csv, b.csv)"),
    "empty zip": (zipped(), "the zip archive has no file"),
    "Excel": (
        zipped(("[Content_Types].xml", b"x"), ("xl/workbook.xml", b"x")),
        "a spreadsheet (Excel or OpenDocument)",
    ),
    "old Excel": (b"\xd0\xcf\x11\xe0" + bytes(600), "an Excel workbook: save the sheet as CSV"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "an HDF5 (or MATLAB 7.3) file"),
    "NumPy": (b"\x93NUMPY\x01\0" + bytes(600), "a NumPy array"),
    "tar": (b"m.csv" + bytes(252) + b"ustar" + bytes(300), "a tar archive"),
    "parquet in gzip": (gzip.compress(b"PAR1" + bytes(60)), "a parquet file in gzip"),
    "binary": (bytes(range(256)) * 40, "not a text file"),
    "packed too often": (
        gzip.compress(gzip.compress(gzip.compress(gzip.compress(PLAIN.encode())))),
        "packed too often",
    ),
    "damaged xz": (lzma.compress(PLAIN.encode())[:-30], "the xz file is damaged or cut off here"),
    "damaged bz2": (bz2.compress(PLAIN.encode())[:-30], "the bz2 file is damaged or cut off here"),
    "no header": (PLAIN.split("\n", 1)[1], "has no names, it is '"),
    "data above the header": ("\n".join(PLAIN.split("\n")[1:9]) + "\n" + PLAIN, "line 1 above it holds data"),
    "columns change places": (
        PLAIN + "".join(f"{x},{n},{c}\n" for x, n, c in [("ideal", "column", "code"), ("0.5", "3", "64")]),
        "line 62 is a header that names the columns in another order",
    ),
    "decimal commas between commas": (PLAIN.replace(".", ","), "row 1 (line 2): 4 fields where the header has 3"),
    "two ways to be a column": (
        PLAIN.replace("column", "adc").replace("\n", ",7\n").replace("code,7", "code,ch"),
        "--field",
    ),
    "banks of ADCs": (named("A{}") + "B1,0.1,13\n" * 30, "columns are named aN and bN"),
    "a slip in a name": (named("ADC{}") + "CAD1,0.1,13\n", "row 61 (line 62): column = 'CAD1' is not a number"),
    "a name among numbers": (PLAIN + "x7,0.1,13\n", "row 61 (line 62): column = 'x7' is not a number"),
    "volts": (PLAIN.replace("ideal", "ideal [V]"), "give full scale with --full-scale VOLTS"),
    "code in volts": (PLAIN.replace("code", "code (mV)"), "give the codes of the ADC"),
    "hexadecimal without a prefix": (
        "column,ideal,code\n" + "".join(f"{n},{x},{c & 255:02X}\n" for n, x, c in ROWS),
        "codes look hexadecimal (such as '",
    ),
    "comments alone": ("# nothing\n# here\n", "the file is empty"),
    "sep line alone": ("sep=;\n", "the file is empty"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_cannot_be_read_is_one_line_that_says_why(tmp_path, name):
    content, says = TOLD[name]
    path = tmp_path / "m.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as error:
        read(path)
    assert says in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


OPTIONS: dict[str, tuple[str | bytes, dict[str, object]]] = {
    "separator": (PLAIN.replace(",", ";"), {"separator": ";"}),
    "decimal": (commas(PLAIN, ";"), {"decimal": "comma"}),
    "encoding": (PLAIN.encode("utf-16-be"), {"encoding": "utf-16-be"}),
    "encoding with a mark": (PLAIN.encode("utf-16"), {"encoding": "utf-16-le"}),
    "field": (
        PLAIN.replace("column,ideal,code", "a,b,c"),
        {"fields": (("column", "A"), ("ideal", "b"), ("code", "c"))},
    ),
    "field chooses": (
        PLAIN.replace("column", "adc").replace("\n", ",7\n").replace("code,7", "code,ch"),
        {"fields": (("column", "adc"),)},
    ),
    "ignore": (with_column("range", "0.25"), {"ignore": ("range",)}),
    "bare hexadecimal": (
        "column,ideal,code\n" + "".join(f"{n},{x},{c & 255:02X}\n" for n, x, c in ROWS),
        {"base": "hex"},
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_override_what_is_guessed(tmp_path, name):
    content, how = OPTIONS[name]
    path = tmp_path / "m.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read(path, **how)[0] == EXPECTED


def test_a_decimal_point_that_is_asked_for_makes_commas_wrong(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(commas(PLAIN, ";"))
    with pytest.raises(UserError, match="is not a number"):
        read(path, decimal="point")
