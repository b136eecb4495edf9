"""Code that a config names: which files it is, and how what is wrong with it is told."""

from __future__ import annotations

import sys

import pytest

from imctrain.errors import UserError
from imctrain.own_code import call, find_source, load

KEY = "model.name"


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def source(folder, name="nets.py:make"):
    found = find_source(name, folder, KEY)
    assert found is not None
    return found


def test_a_built_in_name_is_no_code(tmp_path):
    assert find_source("mlp", tmp_path, KEY) is None


def test_the_files_are_those_that_are_imported_from_beside(tmp_path):
    write(
        tmp_path, nets="import json\ndef make():\n    import parts\n    return parts.N\n", parts="import deep", other=""
    )
    write(tmp_path / "deep", __init__="", inside="N = 1")
    found = source(tmp_path)
    assert sorted(found.files) == ["deep/__init__.py", "deep/inside.py", "nets.py", "parts.py"]
    before = found.sha256
    write(tmp_path, other="x = 1")
    assert source(tmp_path).sha256 == before
    write(tmp_path / "deep", inside="N = 2")
    assert source(tmp_path).sha256 != before


def test_two_files_import_what_lies_beside_each(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        write(tmp_path / name, nets="from parts import N\ndef make(): return N\n", parts=f"N = {value}\n")
    made = [load(source(tmp_path / name), KEY)() for name in ("a", "b", "a")]
    assert made == [1, 2, 1]
    assert "parts" not in sys.modules
    assert str(tmp_path / "a") not in sys.path
    # Edited within the same second, to a file of the same size.
    write(tmp_path / "a", parts="N = 3\n")
    assert load(source(tmp_path / "a"), KEY)() == 3
    assert not list(tmp_path.rglob("*.pyc"))


def test_a_copy_is_found_where_the_original_is_gone(tmp_path):
    write(tmp_path / "a", nets="from parts import N\ndef make(): return N\n", parts="N = 1\n")
    found = source(tmp_path / "a")
    kept = found.keep(tmp_path / "kept")
    for path in (tmp_path / "a").iterdir():
        path.unlink()
    again = find_source(kept, None, KEY)
    assert again is not None
    assert again.sha256 == found.sha256
    assert load(again, KEY)() == 1


def test_a_module_is_found_by_its_name_and_its_whole_package_counts(tmp_path, monkeypatch):
    write(tmp_path / "own_package_for_tests", __init__="", nets="def make(): return 7\n", other="")
    monkeypatch.chdir(tmp_path)
    found = source(tmp_path / "elsewhere", "own_package_for_tests.nets:make")
    assert load(found, KEY)() == 7
    assert found.keep(tmp_path / "kept") is None
    assert source(tmp_path, found.pinned).sha256 == found.sha256
    write(tmp_path / "own_package_for_tests", other="x = 1")
    with pytest.raises(UserError, match=r"own_package_for_tests\.nets has changed"):
        source(tmp_path, found.pinned)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.py:make", "there is no file .*gone.py: give a path relative to the config"),
        ("nets.py:", "give FILE.py:NAME or PACKAGE.MODULE:NAME"),
        ("no such:make", "give FILE.py:NAME or PACKAGE.MODULE:NAME"),
        ("no_such_package.nets:make", "no module 'no_such_package' that can be imported"),
        ("json.nets:make", "no module 'json.nets'"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, name, says):
    write(tmp_path, nets="")
    with pytest.raises(UserError, match=says):
        find_source(name, tmp_path, KEY)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\ndef make(:\n", r"nets.py, line 2: SyntaxError"),
        ("import no_such_thing\n", r"nets.py, line 1, in <module> .*ModuleNotFoundError: No module named 'no_such"),
        ("def other(): pass\nmaker = 1\n", "nets.py has no 'make'"),
        ("def makes(): pass\n", r"has no 'make' \(did you mean makes\?\)"),
        ("make = 3\n", "make is int: give a class or a function"),
        ("raise SystemExit(3)\n", "nets.py, line 1, in <module> .*SystemExit: 3"),
    ],
)
def test_what_cannot_be_loaded_is_told_by_its_line(tmp_path, text, says):
    write(tmp_path, nets=text)
    with pytest.raises(UserError, match=says) as told:
        load(source(tmp_path), KEY)
    assert "\n" not in str(told.value)


MAKE = """
def make(*, shape, hidden, depth=1):
    return inner(shape, hidden, depth)

def inner(*values):
    if values[1] < 0:
        raise ValueError("hidden is negative")
    return values

def all_of(**given):
    return given
"""


def made(folder, arguments, name="nets.py:make"):
    write(folder, nets=MAKE)
    found = source(folder, name)
    return call(load(found, KEY), found, KEY, {"shape": (8, 8, 1), "classes": 10}, arguments)


def test_a_function_gets_what_its_signature_takes(tmp_path):
    assert made(tmp_path, {"hidden": 3}) == ((8, 8, 1), 3, 1)
    assert made(tmp_path, {"x": 3}, "nets.py:all_of") == {"shape": (8, 8, 1), "classes": 10, "x": 3}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"hiden": 3}, r"model.arguments.hiden is not possible \(did you mean hidden\?\): make takes hidden, depth"),
        ({}, r"make needs hidden, which nobody gives: it is called with shape, classes and what \[model.arguments\]"),
        ({"hidden": 1, "shape": 2}, "model.arguments.shape is not possible: shape is given to make by imctrain"),
        ({"hidden": -1}, r"nets.py, line 7, in inner \(`raise ValueError.*`\): ValueError: hidden is negative"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path, arguments, says):
    with pytest.raises(UserError, match=says):
        made(tmp_path, arguments)
