"""The cache of compiled steps: damaged entries are removed, since jax neither does that nor writes them anew.

jax writes an entry in place. A process that is killed meanwhile, or a disk that is full, leaves a part of it, and from
then on every process reads that, warns, and compiles again. Bits that a disk has flipped do the same.
"""

from __future__ import annotations

import os
import time
import warnings
import zlib
from pathlib import Path

from imctrain.errors import DamageWarning
from imctrain.files import naming, write_text

SUFFIX = "-cache"
CHECKED = ".checked"
"""In the cache: a file as old as the newest entry that was looked at. An entry is looked at once."""
FRESH_SECONDS = 60.0
"""Another process may be writing an entry that is no older."""
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


def heal(cache: Path) -> None:
    """Remove entries that were cut off or changed, and say so in a line. What cannot be looked at stays as it is."""
    try:
        until = time.time() - FRESH_SECONDS
        since = (cache / CHECKED).stat().st_mtime if (cache / CHECKED).is_file() else 0.0
        cut = 0
        with os.scandir(cache) as entries:
            found = [entry for entry in entries if entry.name.endswith(SUFFIX)]
        for entry in found:
            if since < entry.stat().st_mtime <= until and not is_whole(Path(entry.path)):
                os.unlink(entry.path)
                cut += 1
        if found:
            with naming(cache):
                write_text(cache / CHECKED, "")
            os.utime(cache / CHECKED, (until, until))
    except OSError:
        return  # a cache is no reason to stop: jax itself goes on without one
    if cut:
        entries_ = "entry" if cut == 1 else "entries"
        warnings.warn(
            f"{cut} {entries_} of the compilation cache {cache} had been cut off or damaged and went: what "
            "they held is compiled once more",
            DamageWarning,
            stacklevel=2,
        )


def is_whole(entry: Path) -> bool:
    """Whether a compressed entry goes on to its end, and its checksum, where it has one, holds (zlib's always do)."""
    content = entry.read_bytes()
    if not content:
        return False
    if content.startswith(_ZSTANDARD):
        try:
            import zstandard
        except ImportError:
            return True
        try:
            stream = zstandard.ZstdDecompressor().decompressobj()
            stream.decompress(content)
        except zstandard.ZstdError:
            return False
        return bool(stream.eof)
    packed = zlib.decompressobj()
    try:
        packed.decompress(content)
    except zlib.error:
        return False  # its checksum does not hold, or its head is damaged: jax could not read it either
    return packed.eof
