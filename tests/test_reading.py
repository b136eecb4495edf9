"""Files that may hold anything are read within bounds, and told in one line."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from mutations import changed_bytes, mutated

from imctrain import reading
from imctrain.errors import LONGEST, UserError, shown
from imctrain.reading import DEPTH, Unreadable, read_bytes, read_json, read_text, read_toml


def test_a_byte_order_mark_is_no_text(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfname = 'b'\n")
    assert read_toml(path) == {"name": "b"}
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is empty"),
        (b"{", "is no JSON: "),
        ('{"a": "é"}'.encode("utf-16"), "it is UTF-16"),
        (b'{"a": "\xff"}', "byte 8 is no UTF-8"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), "more than 60 within each other"),
        (b"[" * 100_000, "more than 60 within each other"),
        (b"[" + b"9" * 5000 + b"]", "an integer in it has thousands of digits"),
        (b'{"a": "\\ud800"}', "half a character"),
    ],
)
def test_what_is_no_json_is_told_in_a_line_that_names_the_file(tmp_path, content, told):
    path = tmp_path / "kept.json"
    path.write_bytes(content)
    with pytest.raises(Unreadable) as found:
        read_json(path)
    assert str(path) in str(found.value)
    assert told in str(found.value)


def test_as_deep_as_allowed_is_read(tmp_path):
    path = tmp_path / "kept.json"
    path.write_bytes(b"[" * DEPTH + b"]" * DEPTH)
    assert read_json(path)


@pytest.mark.parametrize("content", [b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"[a" + b".a" * 100 + b"]\nb = 1"])
def test_what_toml_stumbles_over_is_told(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=r"config\.toml: (not valid TOML: )?(tables or lists|an integer)"):
        read_toml(path)


def test_a_folder_a_device_and_a_long_file_are_refused(tmp_path):
    with pytest.raises(Unreadable, match="it is a folder"):
        read_bytes(tmp_path)
    with pytest.raises(Unreadable, match="No such file or directory"):
        read_bytes(tmp_path / "none")
    with pytest.raises(Unreadable, match="/dev/zero goes on after 1 MiB"):
        read_bytes(Path("/dev/zero"), 2**20)
    path = tmp_path / "long"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(Unreadable, match="and 128 MiB is the most here"):
        read_bytes(path)


def test_a_named_pipe_that_nobody_writes_to_does_not_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIPE_SECONDS", 0.1)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(Unreadable, match="is no file, and nothing came from it"):
        read_json(path)


def test_a_pipe_is_read_to_its_end():
    reader, writer = os.pipe()
    os.write(writer, b"a = 1\n")
    os.close(writer)
    try:
        assert read_text(Path(f"/dev/fd/{reader}")) == "a = 1\n"
    finally:
        os.close(reader)


def test_any_bytes_are_read_or_refused(tmp_path):
    rng = random.Random(1)
    seen = set()
    for number in range(400):
        toml = number % 2
        path = tmp_path / ("a.toml" if toml else "a.json")
        start = b'[a]\nb = 1\nc = "x"\n' if toml else b'{"a": {"b": [1, 2.5, null, "x"]}}'
        path.write_bytes(changed_bytes(rng, start) if rng.random() < 0.5 else mutated(rng, start, path.suffix))
        try:
            (read_toml if toml else read_json)(path)
            seen.add("read")
        except Unreadable as error:
            seen.add("refused" if str(error).isprintable() else "told in more than a line")
    assert seen == {"read", "refused"}


def test_a_message_is_a_line_whatever_was_found():
    told = str(UserError("key a\nb\x00\udcff = " + "9" * 100_000))
    assert told.isprintable()
    assert len(told) < LONGEST + 10
    assert told.startswith("key a\\nb\\x00\\udcff = 9")


def test_values_are_shown_in_a_few_words():
    assert shown(10**5000) == "a value too large to show (int)"
    assert shown("a\n b") == "a b"
    assert len(shown([0] * 10_000)) == 120
