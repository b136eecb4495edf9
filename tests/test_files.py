"""Files that are whole or not there, that overwrite nothing of the user's, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import tempfile
import time

import pytest

from imctrain import files
from imctrain.errors import UserError
from imctrain.files import (
    ABANDONED_SECONDS,
    SCRATCH,
    naming,
    open_log,
    refuse_overwrite,
    remove_abandoned,
    replacing,
    scratch_folder,
    told,
    write_text,
)


def test_a_file_of_the_user_stays_without_force(tmp_path):
    path = tmp_path / "measured.csv"
    refuse_overwrite(path, "--out")
    path.write_text("v,code\n")
    for made_by in (None, "imctrain cost"):
        with pytest.raises(UserError, match=r"measured\.csv is there already.*: give another name, or .* with --force"):
            refuse_overwrite(path, "--out", made_by=made_by)
    refuse_overwrite(path, "--out", force=True)


def test_what_imctrain_made_is_known_by_its_mark_at_either_end(tmp_path):
    path = tmp_path / "page.pdf"
    for content in (b"imctrain cost" + bytes(10**6), bytes(10**6) + b"imctrain cost"):
        path.write_bytes(content)
        refuse_overwrite(path, "--plot", made_by="imctrain cost")
    path.write_bytes(bytes(10**6) + b"imctrain cost" + bytes(10**6))
    with pytest.raises(UserError, match="was not made by `imctrain cost`"):
        refuse_overwrite(path, "--plot", made_by="imctrain cost")


def test_a_folder_and_a_link_to_nothing_are_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        refuse_overwrite(tmp_path, "--out", force=True)
    (tmp_path / "link").symlink_to(tmp_path / "none")
    with pytest.raises(UserError, match="is there already"):
        refuse_overwrite(tmp_path / "link", "--out")


def test_a_log_follows_no_link(tmp_path):
    own = tmp_path / "log.txt"
    for text in (b"one\n", b"two\n"):
        with os.fdopen(open_log(own), "ab") as stream:
            stream.write(text)
    assert own.read_text() == "one\ntwo\n"
    (tmp_path / "link").symlink_to(own)
    with pytest.raises(UserError, match="link is a link: remove it"):
        open_log(tmp_path / "link")


def test_what_a_killed_process_left_goes_once_it_is_old(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_cleaned", set())
    old = time.time() - 2 * files.ABANDONED_SECONDS
    names = {"dead and old": ".4194305-a.json", "dead and new": ".4194306-b.json", "alive": f".{os.getpid()}-c.json"}
    names["of the user"] = ".notes-2024"
    for what, name in names.items():
        (tmp_path / name).write_text("x")
        if what != "dead and new":
            os.utime(tmp_path / name, (old, old))
    remove_abandoned(tmp_path)
    left = {what for what, name in names.items() if (tmp_path / name).exists()}
    assert left == {"dead and new", "alive", "of the user"}


def test_a_full_disk_is_told_with_the_file_and_the_room_left(tmp_path):
    path = tmp_path / "result.json"

    def write():
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as found:
        write()
    assert told(found.value).startswith(f"{path}: No space left on device (")
    assert told(found.value).endswith(" bytes are free there)")
    assert list(tmp_path.iterdir()) == []


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as found, naming(tmp_path / "a"):
        (tmp_path / "b").read_text()
    assert found.value.filename == str(tmp_path / "b")


def test_dev_full_names_the_file():
    full = files.Path("/dev/full")
    with pytest.raises(OSError, match="No space left") as found, naming(full), full.open("w") as stream:
        stream.write("x")
    assert told(found.value).startswith("/dev/full: No space left on device")


def test_text_is_written_whole(tmp_path):
    write_text(tmp_path / "a", "\u00e9")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9"


def test_scratch_folders_of_killed_processes_go(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    long_ago = time.time() - 2 * ABANDONED_SECONDS
    made = {"killed": 2**22 + 1, "living": os.getpid(), "young": 2**22 + 1}
    for name, pid in made.items():
        folder = tmp_path / f"{SCRATCH}{pid}-{name}"
        folder.mkdir()
        (folder / "file").write_text("x")
        if name != "young":
            os.utime(folder, (long_ago, long_ago))
    with scratch_folder() as own:
        assert own.is_dir()
        assert {path.name.rpartition("-")[2] for path in tmp_path.iterdir()} - {own.name.rpartition("-")[2]} == {
            "living",
            "young",
        }
    assert not own.exists()
