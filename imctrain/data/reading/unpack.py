"""Compressed files as streams: metered, with bounded memory, and refused where their end is missing."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from imctrain.data.reading.bounds import Meter
from imctrain.errors import UserError

CHUNK = 1 << 16
_XZ_MEMORY = 256 << 20
"""xz of the highest preset takes 65 MiB; a file may ask for 4 GiB."""


class Readable(Protocol):
    """What can be read from front to end."""

    def read(self, size: int = -1, /) -> bytes: ...


class Stream(Readable, Protocol):
    """The same, and closed when it is done with."""

    def close(self) -> None: ...


class _Decoder(Protocol):
    """One compressed stream, as bz2, lzma and compression.zstd have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor in the manner of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max(max_length, 0))


def _xz() -> _Decoder:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)


def _zstd() -> _Decoder:
    """Of Python 3.14, or of the package that brings it to earlier ones."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        decoder: _Decoder = module.ZstdDecompressor()
        return decoder
    raise UserError(
        "a zstd archive needs Python 3.14 or the package backports.zstd: install that, or unpack it with `zstd -d`"
    )


DECODERS: dict[bytes, Callable[[], _Decoder]] = {
    b"\x1f\x8b": _Gzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
}
"""By the first bytes of a file."""


def decoder_of(head: bytes) -> Callable[[], _Decoder] | None:
    """What decompresses a file with these first bytes; None for one that is not compressed."""
    return next((make for magic, make in DECODERS.items() if head.startswith(magic)), None)


class Unpacked:
    """The unpacked bytes of a stream that may be compressed, from front to end.

    Attributes:
        total: bytes given so far.
        zeros: zero bytes at the end of them.
    """

    def __init__(self, packed: Readable, meter: Meter):
        self._packed = packed
        self._meter = meter
        self._head = packed.read(CHUNK)
        self._make = decoder_of(self._head)
        self._decoder = None if self._make is None else self._make()
        self._waiting = b""
        self.total = 0
        self.zeros = 0

    def read(self, size: int = -1, /) -> bytes:
        """`size` bytes, fewer only at the end; all of them where it is negative.

        Raises EOFError where a compressed stream is cut, OSError where something else follows it.
        """
        parts = []
        missing = size
        while missing:
            part = self._some(CHUNK if missing < 0 else min(missing, CHUNK))
            if not part:
                break
            parts.append(part)
            missing -= len(part) if missing > 0 else 0
        return b"".join(parts)

    def finish(self) -> None:
        """Reads to the end, so that checksums are compared."""
        while self.read(CHUNK):
            pass

    def _some(self, most: int) -> bytes:
        if not self._waiting:
            self._waiting = self._next()
        found, self._waiting = self._waiting[:most], self._waiting[most:]
        return found

    def _next(self) -> bytes:
        found = self._input() if self._decoder is None else self._decoded(self._decoder)
        self._meter.bytes(len(found))
        self.total += len(found)
        body = found.rstrip(b"\0")
        self.zeros = len(found) - len(body) if body else self.zeros + len(found)
        return found

    def _input(self) -> bytes:
        head, self._head = self._head, b""
        return head or self._packed.read(CHUNK)

    def _decoded(self, decoder: _Decoder) -> bytes:
        while True:
            if decoder.eof:
                following = self._following(decoder)
                if following is None:
                    return b""
                decoder = following
            data = b""
            if decoder.needs_input:
                data = self._input()
                if not data:
                    raise EOFError("the compressed data ends before its end mark")
            found = decoder.decompress(data, CHUNK)
            if found:
                return found

    def _following(self, ended: _Decoder) -> _Decoder | None:
        """Streams may follow each other, and zeros may fill a block; None at the end of the file."""
        rest = ended.unused_data.lstrip(b"\0")
        while not rest:
            data = self._input()
            if not data:
                return None
            rest = data.lstrip(b"\0")
        while len(rest) < max(map(len, DECODERS)) and (data := self._input()):
            rest += data
        assert self._make is not None
        if decoder_of(rest) is not self._make:
            raise OSError("something else follows the compressed data")
        self._head = rest
        self._decoder = self._make()
        return self._decoder
