"""Entries of the compilation cache that were cut off are removed, once, and nothing else is."""

from __future__ import annotations

import contextlib
import os
import time
import warnings
import zlib

import pytest

from imctrain.errors import DamageWarning
from imctrain.experiment.compile_cache import heal, is_whole

CONTENT = bytes(range(256)) * 40
PACKED = {"zlib": zlib.compress(CONTENT)}
# jax packs with zstandard where it is installed, and with zlib elsewhere.
with contextlib.suppress(ImportError):
    import zstandard

    PACKED["zstandard"] = zstandard.ZstdCompressor().compress(CONTENT)
USUAL = list(PACKED.values())[-1]


def entry(folder, name, content, age):
    path = folder / name
    path.write_bytes(content)
    at = time.time() - age
    os.utime(path, (at, at))
    return path


@pytest.mark.parametrize("kind", PACKED)
def test_every_cut_is_known(tmp_path, kind):
    packed = PACKED[kind]
    assert is_whole(entry(tmp_path, "whole", packed, 0))
    for length in range(len(packed)):
        assert not is_whole(entry(tmp_path, "cut", packed[:length], 0)), length


def test_every_flipped_bit_of_an_entry_without_zstandard_is_known(tmp_path):
    harmless = 0
    for place in range(len(PACKED["zlib"])):
        for bit in range(8):
            flipped = bytearray(PACKED["zlib"])
            flipped[place] ^= 1 << bit
            if is_whole(entry(tmp_path, "flipped", bytes(flipped), 0)):  # a bit that fills up the last byte
                assert zlib.decompress(bytes(flipped)) == CONTENT, (place, bit)
                harmless += 1
    assert harmless < 8


def test_cut_entries_go_and_are_told_once(tmp_path):
    whole = entry(tmp_path, "jit_a-cache", USUAL, 1000)
    cut = entry(tmp_path, "jit_b-cache", USUAL[:20], 1000)
    being_written = entry(tmp_path, "jit_c-cache", USUAL[:20], 1)
    other = entry(tmp_path, "notes", b"x", 1000)
    with pytest.warns(DamageWarning, match="1 entry of the compilation cache"):
        heal(tmp_path)
    assert [path.exists() for path in (whole, cut, being_written, other)] == [True, False, True, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        heal(tmp_path)
        heal(tmp_path / "none")


def test_an_entry_is_looked_at_again_once_it_is_no_longer_fresh(tmp_path):
    entry(tmp_path, "jit_a-cache", PACKED["zlib"], 1000)
    heal(tmp_path)
    late = entry(tmp_path, "jit_b-cache", PACKED["zlib"][:20], 61)
    os.utime(tmp_path / ".checked", (time.time() - 100,) * 2)
    with pytest.warns(DamageWarning):
        heal(tmp_path)
    assert not late.exists()
