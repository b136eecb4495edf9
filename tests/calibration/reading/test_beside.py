"""Columns that nothing is read from and that split the file, the symbol R, and files that hold their rows twice."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from calibration_tools import Chip
from lab_files import conversions_of, read, text_of

from imctrain.calibration.reading import beside, copies, csv_table
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.roles import find_roles
from imctrain.calibration.reading.setup import MeasurementSetup

COLUMNS = 8
ROWS = 4000


def measured(rows: int = ROWS, noise: float = 0.5, seed: int = 0) -> pl.DataFrame:
    """Random inputs of a chip: column, ideal, code."""
    return Chip(columns=COLUMNS, array=noise).measure(rows, seed=seed)


def notes_of(path, table: pl.DataFrame, **how) -> list[str]:
    if path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path)
    return list(read(path, **how)[1].facts.notes)


def halves(rows: int = ROWS) -> pl.Series:
    return pl.Series([k % 2 for k in range(rows)])


@pytest.mark.parametrize("kind", ["csv", "parquet", "line by line"])
@pytest.mark.parametrize("header", ["macro", "bank", "array", "device", "sample", "board", "wafer"])
def test_a_column_that_splits_the_file_and_is_not_used_is_said(tmp_path, monkeypatch, header, kind):
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 20_000)
    path = tmp_path / ("m.parquet" if kind == "parquet" else "m.csv")
    table = measured().with_columns(halves().alias(header))
    if kind == "line by line":
        table.write_csv(path)
        path.write_text(path.read_text() + "# the end\n")
        (note,) = [n for n in read(path)[1].facts.notes if "comments" not in n]
    else:
        (note,) = notes_of(path, table)
    assert note.startswith(f"'{header}' is not used; it takes 2 values (0, 1), under which the same column numbers")
    assert f"say --field die='{header}'" in note
    # What the note proposes ends it.
    for how in ({"fields": (("die", header),)}, {"ignore": (header,)}):
        assert not [n for n in read(path, **how)[1].facts.notes if header in n]


def test_a_file_that_is_sorted_by_such_a_column_is_told_of_too(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 20_000)
    table = measured().with_columns(halves().sort().alias("macro"), pl.lit("A").alias("die"))
    (note,) = notes_of(tmp_path / "m.csv", table)
    assert "'macro' is not used" in note
    assert "write it into `die` too" in note


def test_a_wide_table_is_told_of_too(tmp_path):
    path = tmp_path / "m.csv"
    rng = np.random.default_rng(0)
    lines = [
        f"{v:.5f},{k % 3}," + ",".join(str(round(120 * v)) for _ in range(4))
        for k, v in enumerate(rng.uniform(-1, 1, 300))
    ]
    path.write_text("\n".join(["ideal,macro,col0,col1,col2,col3", *lines]) + "\n")
    assert any("'macro' is not used; it takes 3 values (0, 1, 2)" in note for note in read(path)[1].facts.notes)


def bookkeeping(table: pl.DataFrame) -> dict[str, pl.Series]:
    rows = table.height
    return {
        "row": pl.Series(range(rows)),
        "a count": pl.Series(range(rows)),
        "timestamp": pl.Series([f"12:{k % 60:02d}" for k in range(rows)]),
        "comment": pl.Series(["" if k % 2 else "fine" for k in range(rows)]),
        "place": pl.Series(["lab"] * rows),
        "remark of 3": pl.Series(["hot" if k < 3 else "" for k in range(rows)]),
        "sometimes": pl.Series(["" if k % 2 else "x" for k in range(rows)]),
        "step_of_input": (table["ideal"] * 10).round().cast(pl.Int64),
        "half": table["column"] // (COLUMNS // 2),
        "b0": table["code"] & 1,
        "b1": table["code"] & 2,
    }


def test_bookkeeping_is_passed_over(tmp_path):
    table = measured()
    assert notes_of(tmp_path / "m.csv", table.with_columns(**bookkeeping(table))) == []
    assert notes_of(tmp_path / "m.parquet", table.with_columns(**bookkeeping(table))) == []


def test_an_empty_field_beside_makes_no_row_wrong_and_no_line_slow(tmp_path, monkeypatch):
    path = tmp_path / "m.csv"
    table = measured()
    sparse = pl.Series([str(k) if k % 3 == 0 else None for k in range(ROWS)])
    table.with_columns(sparse.alias("tag")).write_csv(path)
    monkeypatch.setattr(csv_table, "frame_of_lines", None)
    rows, conversions = read(path)
    assert rows == table.select("column", "ideal", "code").rows()
    assert conversions.facts.left_out == 0


def test_what_is_kept_of_such_columns_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "MOST_VALUES", 10)
    table = measured().with_columns((pl.Series(range(ROWS)) % 20).alias("site"))
    assert notes_of(tmp_path / "m.csv", table) == []
    monkeypatch.setattr(beside, "MOST_VALUES", 20)
    assert "takes 20 values (0, 1, 10, 11, ...)" in notes_of(tmp_path / "m.csv", table)[0]


def with_range(header: str, values: list[str], path) -> None:
    lines = text_of(conversions_of(400)).splitlines()
    rows = [f"{line},{values[k * len(values) // 400]}" for k, line in enumerate(lines[1:])]
    path.write_text("\n".join([f"{lines[0]},{header}", *rows]) + "\n")


@pytest.mark.parametrize("header", ["R", "ref_range", "reference range", "R [FS]"])
@pytest.mark.parametrize("values", [["1", "0.8", "0.6"], ["0.8"]], ids=["three", "one"])
def test_the_symbol_of_the_range_is_the_range_where_its_values_can_be(tmp_path, header, values):
    path = tmp_path / "m.csv"
    with_range(header, values, path)
    conversions = read(path)[1]
    batch = pl.concat(list(type(conversions)(path, conversions.setup).batches()))
    assert batch["range"].unique(maintain_order=True).to_list() == [float(value) for value in values]
    assert any(note.startswith(f"{header!r} is taken as `range`") for note in conversions.facts.notes)
    assert conversions.facts.range_guess == header


@pytest.mark.parametrize(
    ("header", "values"),
    [
        *((name, ["0.9"]) for name in ("Vref", "RFS", "full_scale", "adc_range")),
        # Nothing but ones at first: only the end of the file tells.
        ("R", ["1", "2"]),
        ("R", ["100", "80"]),
        ("R", ["0"]),
        ("R", ["0.5", "hot"]),
        ("R", ["0.5", ""]),
        ("R", [f"{k / 200:.3f}" for k in range(1, 100)]),
    ],
)
def test_what_may_be_the_range_and_is_not_used_is_said(tmp_path, header, values):
    path = tmp_path / "m.csv"
    with_range(header, values, path)
    conversions = read(path)[1]
    told = f"{header!r} is not used; it may be `range` (--field range={header!r})"
    assert [note for note in conversions.facts.notes if told in note]
    batch = next(type(conversions)(path, conversions.setup).batches())
    assert batch["range"].unique().to_list() == [1.0]


def test_a_range_of_its_own_name_goes_before():
    roles = find_roles(["column", "ideal", "code", "range", "R"], HowToRead())
    assert roles.fields["range"].header == "range"
    assert roles.could_be == ()
    wide = find_roles(["ideal", *(f"R{k}" for k in range(8))], HowToRead())
    assert wide.series is not None


def pasted(table: pl.DataFrame, kind: str) -> pl.DataFrame:
    if kind == "in succession":
        return table[[k // 2 for k in range(2 * table.height)]]
    if kind == "with times":
        table = table.with_columns(time_s=pl.Series(range(table.height)) * 1e-3)
    return pl.concat([table] * (3 if kind == "three times" else 2))


@pytest.mark.parametrize("kind", ["twice", "three times", "in succession", "with times"])
def test_a_file_that_was_pasted_together_with_itself_is_said(tmp_path, kind):
    table = pasted(measured(), kind)
    (note,) = notes_of(tmp_path / "m.csv", table)
    time = "code and time" if kind == "with times" else "code"
    assert note.startswith(f"{table.height} of {table.height} rows stand twice or more with the same input, column")
    assert time in note
    assert "remove the copies" in note


def test_copies_of_a_part_and_of_fine_sweeps_are_said(tmp_path):
    table = measured()
    # A few more rows, of which the codes are clipped, are alike by chance.
    note = notes_of(tmp_path / "m.csv", pl.concat([table, table.head(1000)]))[0]
    assert 2000 <= int(note.split(" of 5000 rows stand twice")[0]) < 2050
    sweeps = repeats(levels=2000, times=1, noise=0.5)
    assert "stand twice or more" in notes_of(tmp_path / "m.csv", pl.concat([sweeps, sweeps]))[0]


def test_a_sample_of_rows_finds_all_copies_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "MOST_KEPT", 3000)
    monkeypatch.setattr(csv_table, "BLOCK_BYTES", 20_000)
    table = pasted(measured(20_000), "twice")
    (note,) = notes_of(tmp_path / "m.csv", table)
    assert note.startswith("about 40000 of 40000 rows stand twice")


def repeats(levels: int, times: int, noise: float, seed: int = 0, lsb: float | None = None) -> pl.DataFrame:
    """A sweep with repeats of every input, of columns that differ: column, ideal, code."""
    rng = np.random.default_rng([seed, levels, times])
    v = np.linspace(-1, 1, levels) if lsb is None else np.arange(-128, 128, lsb) / 128
    column, v, _ = (x.ravel() for x in np.meshgrid(np.arange(COLUMNS), v, np.arange(times), indexing="ij"))
    gain, offset = 0.97 + 0.03 * rng.standard_normal(COLUMNS), 0.5 * rng.standard_normal(COLUMNS)
    u = gain[column] * (128 * v + np.sin(np.pi * v)) + offset[column] + noise * rng.standard_normal(v.size)
    return pl.DataFrame({"column": column, "ideal": v, "code": np.clip(np.round(u), -128, 127).astype(int)})


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.6, 2.0])
@pytest.mark.parametrize(
    "plan",
    [{"levels": 512, "times": 2}, {"levels": 4096, "times": 2}, {"levels": 33, "times": 100}]
    + [{"levels": 0, "times": 3, "lsb": lsb} for lsb in (0.25, 0.5, 1.0, 4 / 3)],
    ids=str,
)
def test_repeats_of_an_input_are_no_copies(plan, noise):
    """Whatever the noise: without any, all repeats agree, and a grid may round alike everywhere."""
    for seed in range(2):
        looked = copies.Copies(MeasurementSetup())
        looked.look_at(repeats(noise=noise, seed=seed, **plan).rename({"ideal": "v"}).with_columns(range=pl.lit(1.0)))
        assert looked.notes() == []
