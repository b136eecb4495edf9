"""docs/technology.md: its tables are those of the files, and its examples run."""

from __future__ import annotations

import re
from pathlib import Path

import imctrain
from imctrain.technology import find_technology, load_technology, shipped_names
from imctrain.technology.laws import law_names
from imctrain.technology.table import with_tables

PAGE = (Path(imctrain.__file__).parent.parent / "docs" / "technology.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_files():
    assert with_tables(PAGE) == PAGE, "run: python -m imctrain.technology.table docs/technology.md"
    for name in (*shipped_names(), *law_names()):
        assert f"`{name}`" in PAGE


def test_the_layout_names_every_key_of_the_file():
    technology = load_technology("laws-28nm")
    keys = {*type(technology).model_fields, *type(technology.macro).model_fields}
    keys |= {key.partition(".")[2] for key, _ in technology.figures()}
    layout = PAGE.partition("## Layout")[2].partition("A figure is one of three")[0]
    assert {key for key in keys if f"`{key}`" not in layout} == set()


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    """The file of a chip of one's own is written as it stands, and read by the block after it."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(json|python)\n(.*?)^```", PAGE, re.S | re.M)
    assert [kind for kind, _ in blocks] == ["python", "json", "python"]
    for kind, text in blocks:
        if kind == "json":
            Path("my-chip.json").write_text(text)
        else:
            exec(compile(text, "docs/technology.md", "exec"), {})
    # Converter 0.52, array 0.41 fJ x 1152, driver 31 fF x 5 b x 22/28 x (0.8 V)^2 x 1152 / 256 pJ.
    conversion = 0.52 + 0.47232 + 31e-3 * 5 * 22 / 28 * 0.64 * 4.5
    assert capsys.readouterr().out == f"{2 * 1152 * 5 / conversion:.0f} TOPS/W, derived\n"


def test_the_page_tells_what_nobody_has_seen():
    """A figure whose source was not opened says so in its row."""
    for name in shipped_names():
        section = PAGE.partition(f"### {name}\n")[2].partition("\n### ")[0]
        unseen = find_technology(name).read_text().count('"checked": false')
        assert section.count("| no |") == unseen
