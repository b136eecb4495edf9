"""Folders, tar and zip archives as streams: the same files, whole or refused, inside of their bounds."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import sys
import tarfile
import types
import zipfile
import zlib
from pathlib import Path

import pytest
from data_archives import tree_archive, tree_zip, write_tree

from imctrain.data.archive import check_source, open_files
from imctrain.data.reading.bounds import FREE_BYTES, Bounds, Meter
from imctrain.data.reading.names import shown
from imctrain.data.reading.unpack import Unpacked
from imctrain.errors import UserError

FILES = {f"train/cat/{index}.png": bytes([index]) * (700 + index) for index in range(20)} | {
    "notes.txt": b"",
    "b": b"x",
}
MODES = {"tar": "w", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def contents(path: Path, bounds: Bounds = Bounds(), **options) -> dict[str, bytes]:  # noqa: B008
    found = {}
    for entry in open_files(path, bounds, **options):
        if entry.kind == "file":
            assert entry.path not in found
            found[entry.path] = entry.content(1 << 30)
    return found


def refused(path: Path, message: str, bounds: Bounds = Bounds(), **options) -> None:  # noqa: B008
    with pytest.raises(UserError, match=message) as caught:
        contents(path, bounds, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture(params=["folder", "zip", "zip stored", *MODES])
def source(request, tmp_path) -> Path:
    """The files in every form."""
    if request.param == "folder":
        return write_tree(tmp_path / "tree", FILES)
    if request.param.startswith("zip"):
        method = zipfile.ZIP_STORED if "stored" in request.param else zipfile.ZIP_DEFLATED
        return tree_zip(tmp_path / "named.wrongly", FILES, method)
    return tree_archive(tmp_path / "named.wrongly", FILES, MODES[request.param])


def test_every_form_gives_the_same_files_twice(source):
    files = open_files(source)
    for _ in range(2):
        found = {entry.path: entry.content(1 << 20) for entry in files if entry.kind == "file"}
        assert found == FILES


def test_every_form_keeps_to_its_number_of_files(source):
    assert contents(source, Bounds(files=24)) == FILES  # a folder counts its folders
    refused(source, "holds more than 9 files: --max-files", Bounds(files=9))


@pytest.mark.parametrize("kind", [*MODES, "zip"])
def test_archives_keep_to_their_bytes(tmp_path, kind):
    path = tmp_path / "a"
    tree_zip(path, FILES) if kind == "zip" else tree_archive(path, FILES, MODES[kind])
    refused(path, "unpacks to more than 9000 bytes: --max-bytes", Bounds(bytes=9000))


def test_files_of_an_image_keep_to_their_bytes(source):
    (entry,) = (e for e in open_files(source) if e.path.endswith("/19.png"))
    if source.is_dir():
        assert len(entry.content(719)) == 719
        with pytest.raises(UserError, match=r"has 719 bytes.*--max-pixels"):
            entry.content(718)


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz", "zip"])
def test_small_archives_that_unpack_to_much_are_refused(tmp_path, monkeypatch, compression):
    """The ratio stops them soon after what is free of it, whatever they would unpack to."""
    monkeypatch.setattr("imctrain.data.reading.bounds.FREE_BYTES", 1 << 20)
    path = tmp_path / "bomb"
    size = 6 << 20
    block = bytes(1 << 20)
    if compression == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.png", "w") as member:
            for _ in range(size >> 20):
                member.write(block)
    else:
        opener = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[compression]
        with opener(path, "wb") as stream:
            header = tarfile.TarInfo("x.png")
            header.size = size
            stream.write(header.tobuf())
            for _ in range(size >> 20):
                stream.write(block)
            stream.write(bytes(10240))
    assert path.stat().st_size < size / 500
    refused(path, r"has \d+ bytes and unpacks to more than \d+, over 200 times as many.*--max-ratio")
    (found,) = contents(path, Bounds(ratio=10**6)).values()
    assert found == bytes(size)


def test_a_meter_judges_the_ratio_of_packed_sources_alone(tmp_path):
    Meter(tmp_path, 0, Bounds()).bytes(FREE_BYTES * 3)
    meter = Meter(tmp_path, FREE_BYTES // 100, Bounds(ratio=200))
    meter.bytes(FREE_BYTES * 2 - 200)
    with pytest.raises(UserError, match="over 200 times"):
        meter.bytes(1000)


@pytest.mark.parametrize("kind", MODES)
def test_a_tar_archive_that_was_cut_anywhere_is_refused(tmp_path, kind):
    whole = tree_archive(tmp_path / "whole", FILES, MODES[kind])
    content = whole.read_bytes()
    assert contents(whole) == FILES
    step = max(len(content) // 40, 1)
    for length in {*range(0, len(content) - 8192, step), len(content) - (10240 if kind == "tar" else 1)}:
        path = tmp_path / "cut"
        path.write_bytes(content[:length])
        with pytest.raises(UserError):
            contents(path)


def test_a_tar_archive_that_was_cut_at_the_end_of_a_member_is_refused(tmp_path):
    """That passes as whole where nobody asks for the end mark: here with 11 of 20 images."""
    content = tree_archive(tmp_path / "whole.tar", FILES, "w").read_bytes()
    with tarfile.open(tmp_path / "whole.tar") as archive:
        members = archive.getmembers()
    cut = content[: members[11].offset]
    for end in (b"", bytes(512)):  # one block of zeros is half of a mark
        for pack in (bytes, gzip.compress, bz2.compress, lzma.compress):
            (tmp_path / "cut").write_bytes(pack(cut + end))
            refused(tmp_path / "cut", "ends without the end mark of a tar archive")
    (tmp_path / "cut").write_bytes(cut + bytes(1024))
    assert len(contents(tmp_path / "cut")) == 11
    # One whose checksum is known is whole.
    (tmp_path / "cut").write_bytes(cut)
    assert len(contents(tmp_path / "cut", whole=True)) == 11


def test_what_follows_an_archive_is_refused(tmp_path):
    content = tree_archive(tmp_path / "a.tar", FILES, "w").read_bytes()
    (tmp_path / "more").write_bytes(content + b"more")
    refused(tmp_path / "more", "ends without the end mark")
    (tmp_path / "more").write_bytes(gzip.compress(content) + b"more")
    refused(tmp_path / "more", "something else follows the compressed data")
    # Compressed streams may follow each other, and zeros may fill up a tape's block.
    (tmp_path / "more").write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]) + bytes(4096))
    assert contents(tmp_path / "more") == FILES


def test_damaged_archives_are_refused(tmp_path):
    path = tree_zip(tmp_path / "a", FILES, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(bytes([5]) * 300, bytes([6]) * 300))
    refused(path, "cannot be read .*CRC.*: it is damaged, incomplete")
    path = tree_archive(tmp_path / "a", FILES, "w:gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    refused(path, "cannot be read .*: it is damaged, incomplete")
    path = tree_zip(tmp_path / "a", FILES)
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, "the list of its files is missing")


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png"])
def test_names_that_leave_the_archive_are_refused(tmp_path, name):
    refused(tree_archive(tmp_path / "a.tar", {name: b"x"}, "w"), "a path that leaves the archive")
    refused(tree_zip(tmp_path / "a.zip", {name: b"x"}), "a path that leaves the archive")
    refused(tree_zip(tmp_path / "b.zip", {name.replace("/", "\\"): b"x"}), "a path that leaves the archive")


def test_zips_of_windows_have_folders(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = "train\\cat\\1.png"
        archive.writestr(info, b"x")
    assert contents(path) == {"train/cat/1.png": b"x"}


def member(kind: bytes, name: str = "train/cat/x.png") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/hostname"
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_archive_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(member(kind))
    refused(tmp_path / "a.tar", "no regular file: pack files, not links")


def test_sparse_files_and_long_headers_in_a_tar_archive_are_refused(tmp_path):
    """A sparse member has as many zeros as it likes; a header is read as a whole, before its bytes are counted."""
    sparse = tarfile.TarInfo("x.png")
    sparse.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": "9999999999",
    }
    sparse.size = 1
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(sparse, io.BytesIO(b"x"))
    refused(tmp_path / "a.tar", "no regular file")
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 40 << 20
    (tmp_path / "b.tar").write_bytes(header.tobuf() + bytes(header.size) + bytes(1024))
    refused(tmp_path / "b.tar", "a header of 41943040 bytes")


def test_links_passwords_and_other_methods_in_a_zip_archive_are_refused(tmp_path):
    link = zipfile.ZipInfo("train/cat/x.png")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/hostname")
    refused(tmp_path / "a.zip", "no regular file: pack files, not links")
    refused(tree_zip(tmp_path / "b.zip", {"x": b"x"}, zipfile.ZIP_LZMA), "packed by method 14")
    content = bytearray(tree_zip(tmp_path / "c.zip", {"x": b"x"}).read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "c.zip").write_bytes(content)
    refused(tmp_path / "c.zip", "behind a password")


def test_the_members_of_a_zip_are_counted_before_they_are_objects(tmp_path, monkeypatch):
    path = tree_zip(tmp_path / "a.zip", {str(index): b"" for index in range(300)})
    monkeypatch.setattr(zipfile, "ZipFile", None)
    refused(path, "holds more than 299 files: --max-files", Bounds(files=299))


@pytest.mark.slow
def test_a_zip_that_is_larger_than_its_old_limits_is_read(tmp_path):
    """The list of members is found through the records of zip64, too."""
    path = tree_zip(tmp_path / "a.zip", {f"{index:05d}": b"" for index in range(66000)})
    assert b"PK\6\6" in path.read_bytes()
    assert sum(1 for _ in open_files(path)) == 66000
    refused(path, "holds more than 65999 files", Bounds(files=65999))


def test_links_of_a_folder(tmp_path):
    tree = write_tree(tmp_path / "tree", {"train/cat/1.png": b"one"})
    outside = write_tree(tmp_path / "outside", {"2.png": b"two"})
    (tree / "train/cat/same.png").symlink_to("1.png")
    assert contents(tree) == {"train/cat/1.png": b"one", "train/cat/same.png": b"one"}
    (tree / "train/cat/other.png").symlink_to(outside / "2.png")
    refused(tree, "other.png is a link to .*outside/2.png: .*--follow-links")
    assert contents(tree, follow_links=True)["train/cat/other.png"] == b"two"
    (tree / "train/cat/other.png").unlink()
    (tree / "train/dog").symlink_to(outside)
    refused(tree, "dog is a link to .*--follow-links")
    assert contents(tree, follow_links=True)["train/dog/2.png"] == b"two"
    (tree / "train/again").symlink_to(tree)
    refused(tree, "again is a link to a folder that it lies in", follow_links=True)


def test_what_is_neither_a_file_nor_a_folder_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "pipe", "is a pipe or socket"),
        (Path("/dev/zero"), "is a device"),
        (tmp_path / "nothing", "does not exist"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            check_source(path)
        with pytest.raises(UserError, match=message):
            open_files(path)
    kinds = {entry.path: entry.kind for entry in open_files(tmp_path)}
    assert kinds == {"pipe": "special"}


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a rar archive"),
        (b"%!PS-Adobe-3.0 EPSF", "a PostScript file"),
        (b"PAR1", "a Parquet file"),
        (b"", "is empty"),
        (b"hello world", "is not a tar archive"),
        (gzip.compress(b"hello world", mtime=0), "is not a tar archive"),
    ],
    ids=["7z", "rar", "PostScript", "Parquet", "empty", "text", "text in gzip"],
)
def test_other_files_are_told_by_what_they_are(tmp_path, head, message):
    (tmp_path / "a.tar").write_bytes(head)
    refused(tmp_path / "a.tar", message)


@pytest.mark.slow
def test_xz_may_not_ask_for_much_memory(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    (tmp_path / "a.tar.xz").write_bytes(lzma.compress(bytes(4096), filters=filters))
    refused(tmp_path / "a.tar.xz", "cannot be read .*emory")


class Deflate:
    """In place of zstd's decompressor: the same interface around zlib."""

    def __init__(self):
        self._zlib = zlib.decompressobj()
        self._tail = b""

    eof = property(lambda self: self._zlib.eof)
    unused_data = property(lambda self: self._zlib.unused_data)
    needs_input = property(lambda self: not self._tail)

    def decompress(self, data, max_length=-1):
        found = self._zlib.decompress(self._tail + data[4:], max_length)
        self._tail = self._zlib.unconsumed_tail
        return found


def test_zstd_is_read_where_it_is_installed(tmp_path, monkeypatch):
    content = tree_archive(tmp_path / "a.tar", FILES, "w").read_bytes()
    (tmp_path / "a.tar.zst").write_bytes(b"\x28\xb5\x2f\xfd" + zlib.compress(content))
    for name in ("compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    refused(tmp_path / "a.tar.zst", "needs Python 3.14 or the package backports.zstd.*unpack it with `zstd -d`")
    module = types.ModuleType("backports.zstd")
    module.ZstdDecompressor = Deflate  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "backports.zstd", module)
    assert contents(tmp_path / "a.tar.zst") == FILES


def test_unpacked_bytes_are_counted_with_the_zeros_at_their_end(tmp_path):
    stream = Unpacked(io.BytesIO(gzip.compress(b"abc" + bytes(200_000))), Meter(tmp_path, 0, Bounds()))
    assert stream.read(3) == b"abc"
    assert len(stream.read()) == 200_000
    assert (stream.total, stream.zeros) == (200_003, 200_000)


def test_names_are_shown_in_one_line():
    assert shown("a\nb\ud800\x1b[31m") == "a\\nb\\ud800\\x1b[31m"
    assert len(shown("x" * 500)) < 130
    assert shown("Ärmel/図.png") == "Ärmel/図.png"
