"""Full disks: one line with what is needed and where, exit code 2, nothing half-written, never a signal."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from data_archives import SMALL, binary_archive, random_splits, small_tree, write_tree
from tiers import slow

from imctrain.data import cache, load
from imctrain.data.importing import import_dataset
from imctrain.data.prepared import list_prepared
from imctrain.data.reading.bounds import Bounds
from imctrain.data.room import allocate, is_full
from imctrain.data.spool import Spool
from imctrain.errors import UserError

ROOT = Path(__file__).parents[2]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full(*args, **kwargs):
    raise FULL


def one_line(caught: pytest.ExceptionInfo[UserError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def nothing_left(home: Path) -> None:
    assert {entry.name for entry in home.iterdir()} <= {".import.lock", ".decoded"}
    assert not list(home.glob(".decoded/*"))


@pytest.mark.parametrize("supported", [True, False])
def test_allocated_files_have_their_blocks(tmp_path, monkeypatch, supported):
    """On a file system that cannot allocate, zeros take them; what was there is gone either way."""
    if not supported:

        def refuse(*args):
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
    with (tmp_path / "file").open("w+b") as stream:
        allocate(stream.fileno(), 3_000_001)
        facts = os.fstat(stream.fileno())
        assert facts.st_size == 3_000_001
        assert facts.st_blocks * 512 >= 3_000_001
        assert stream.tell() == 0
        stream.write(b"abc")
        allocate(stream.fileno(), 0)


def test_which_faults_are_of_a_full_disk():
    assert all(is_full(OSError(number, "")) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
    assert not any(is_full(OSError(number, "")) for number in (errno.EACCES, errno.EROFS, errno.ENOENT))


def test_spools_give_back_what_was_written_in_any_order(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (700, 40, 50, 3), dtype=np.uint8)
    spool = Spool(images.shape, tmp_path, Bounds(), "x")
    for start in range(600, -1, -100):
        spool.write(start, images[start : start + 100])
    np.testing.assert_array_equal(np.stack(list(spool)), images)
    np.testing.assert_array_equal(np.stack(list(spool.shortened(3))), images[:3])
    assert not list(tmp_path.iterdir())  # it has no name, so nothing stays where a process is killed


@pytest.mark.parametrize("broken", ["spool.allocate", "cache.allocate"])
def test_a_full_disk_is_told_with_its_bytes(tmp_path, monkeypatch, broken):
    tree, home = write_tree(tmp_path / "t", small_tree()), tmp_path / "home"
    monkeypatch.setattr(f"imctrain.data.{broken}", full)
    with pytest.raises(
        UserError, match=r"takes about \d+ bytes in .*home, which cannot be written \(No space"
    ) as caught:
        load(import_dataset("mine", tree, data_dir=home)[0].name, home)
    assert ("takes about 360 bytes" if broken.startswith("cache") else "takes about 180 bytes") in one_line(caught)
    assert "make room, or choose another folder with --data-dir" in str(caught.value)
    assert not list(home.glob(".decoded/*"))
    assert not list(home.glob(".importing-*"))
    assert [entry.name for entry in list_prepared(home)] == (["mine"] if broken.startswith("cache") else [])
    monkeypatch.undo()
    import_dataset("mine", tree, data_dir=home)
    assert len(load("mine", home).train) == 6


@pytest.mark.parametrize(
    "fault",
    [FULL, RuntimeError("RESOURCE_EXHAUSTED: write failed: No space left on device"), OSError(errno.EDQUOT, "Quota")],
)
def test_a_disk_that_fills_while_records_are_written(tmp_path, monkeypatch, fault):
    """Whatever the library that writes them makes of it."""
    import tensorflow_datasets as tfds

    def broken(*args, **kwargs):
        raise fault

    home = tmp_path / "home"
    monkeypatch.setattr(tfds.core.GeneratorBasedBuilder, "download_and_prepare", broken)
    with pytest.raises(UserError, match=r"writing the records takes about 360 bytes in .*home") as caught:
        import_dataset("mine", write_tree(tmp_path / "t", small_tree()), data_dir=home)
    one_line(caught)
    nothing_left(home)


def test_records_that_were_cut_by_a_full_disk_are_found_at_once(tmp_path, monkeypatch):
    from imctrain.data import importing

    move = importing.prepared.check_records

    def cut(path: Path) -> None:
        (records,) = path.glob("*train*")
        os.truncate(records, records.stat().st_size * 4 // 5)
        move(path)

    monkeypatch.setattr(importing.prepared, "check_records", cut)
    with pytest.raises(UserError, match="are damaged or cut"):
        import_dataset("mine", write_tree(tmp_path / "t", small_tree()), data_dir=tmp_path / "home")
    nothing_left(tmp_path / "home")


@pytest.mark.parametrize("file", ["train", slow("test")])
@pytest.mark.parametrize("share", [0.0, slow(0.5), 0.97])
def test_cut_records_are_told(tmp_path, file, share):
    home = tmp_path / "home"
    path, _ = import_dataset(
        "cifar10", binary_archive(tmp_path / "a.tar.gz", random_splits()), data_dir=home, official=SMALL
    )
    (records,) = path.path.glob(f"*{file}*")
    os.truncate(records, int(records.stat().st_size * share))
    with pytest.raises(UserError, match=r"damaged or cut .*import (it|the data set) again with --replace") as caught:
        load("cifar10", home)
    one_line(caught)
    assert not list(home.glob(".decoded/*"))


def test_scratch_folders_of_killed_processes_go_and_those_of_others_stay(tmp_path):
    """A lock that nobody holds says that its process is gone, however young its folder is."""
    home = tmp_path / "home"
    import_dataset("mine", write_tree(tmp_path / "t", small_tree()), data_dir=home)
    script = (
        "import fcntl, os, sys, time\n"
        "from pathlib import Path\n"
        "from imctrain.data.cache import _in_use\n"
        "folder = Path(sys.argv[1]); folder.mkdir(parents=True)\n"
        "with _in_use(folder):\n"
        "    print('ready', flush=True); sys.stdin.read()\n"
    )
    processes = []
    for name in (".making-killed", ".making-alive"):
        process = subprocess.Popen(
            [sys.executable, "-c", script, home / cache.FOLDER / name],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        processes.append(process)
    processes[0].kill()
    processes[0].wait()
    load("mine", home)
    left = {folder.name for folder in (home / cache.FOLDER).glob(".making-*")}
    processes[1].kill()
    processes[1].wait()
    for process in processes:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.close()
        process.stdin.close()
    assert left == {".making-alive"}


def run(script: str, *arguments: object, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """A process of its own, with a largest size of a file where one is given."""
    head = "" if limit is None else f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
    return subprocess.run(
        [sys.executable, "-c", head + script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


COMMAND = "import sys; from imctrain.cli import main; sys.argv[0] = 'imctrain'; main()"


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1000, 20_000, 100_000, 250_000])
def test_a_largest_size_of_files(tmp_path, limit):
    """The kernel refuses to write beyond it: no signal, no traceback."""
    rng = np.random.default_rng(0)
    arrays = {"x_train": rng.integers(0, 256, (100, 32, 32, 3), dtype=np.uint8), "y_train": np.arange(100) % 2}
    arrays |= {"x_test": arrays["x_train"][:10], "y_test": arrays["y_train"][:10]}
    np.savez(tmp_path / "d.npz", **arrays)
    home = tmp_path / "home"
    done = run(COMMAND, "data", "import", "mine", tmp_path / "d.npz", "--data-dir", home, limit=limit)
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("imctrain: ")
    assert "File too large" in last
    assert list_prepared(home) == []
    nothing_left(home)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_small_disks(tmp_path):
    """Every size from one that holds nothing to one that holds all: exit code 2 with one line, or done."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        rng = np.random.default_rng(0)
        arrays = {"x_train": rng.integers(0, 256, (90, 32, 32, 3), dtype=np.uint8), "y_train": np.arange(90) % 2}
        arrays |= {"x_test": arrays["x_train"][:10], "y_test": arrays["y_train"][:10]}
        np.savez(tmp_path / "d.npz", **arrays)
        codes = []
        for kib in (64, 320, 480, 640, 960, 2000):
            subprocess.run(["mount", "-o", f"remount,size={kib}k", str(disk)], check=True)
            done = run(COMMAND, "data", "import", "mine", tmp_path / "d.npz", "--data-dir", disk)
            codes.append(done.returncode)
            assert done.returncode in (0, 2), done.stderr
            assert not list(disk.glob(".importing-*"))
            assert not list(disk.glob(".decoded/.making-*"))
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1]
                assert last.startswith("imctrain: ")
                assert "No space left on device" in last
                assert "bytes are free" in last
        assert codes[0] == 2
        assert codes[-1] == 0
        assert {entry.name for entry in list_prepared(disk)} == {"mine"}
    finally:
        subprocess.run(["umount", str(disk)], check=True)
