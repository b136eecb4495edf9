"""Which characters the bytes of a text file stand for."""

from __future__ import annotations

import codecs
from typing import NamedTuple

from imctrain.errors import UserError

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LOOKED_AT = 4096
FEWEST = 16
SURE = 0.95
MOST_CONTROLS = 0.02
WORDS = {"utf-8": "UTF-8", "utf-16-le": "UTF-16 LE", "utf-16-be": "UTF-16 BE", "cp1252": "Windows-1252"}


class Encoding(NamedTuple):
    """How text is encoded.

    Attributes:
        name: of Python's codec. mark: bytes of the byte-order mark in front. guess: what must be told of it, or "".
    """

    name: str
    mark: int
    guess: str

    @property
    def words(self) -> str:
        """For a person."""
        return WORDS.get(self.name, self.name) + (" with a byte-order mark" if self.mark else "")


def encoding_of(start: bytes, whole: bool, wanted: str | None = None) -> Encoding | None:
    """By the first bytes of a file, `whole` if they are all; None where they are no text.

    UTF-16 has a mark, or a zero in every second byte and in no other. What is not UTF-8 is taken as Windows-1252, in
    which Western lab computers write.
    """
    mark = next(((size, name) for size, name in MARKS if start.startswith(size)), None)
    if wanted is not None:
        name = codecs.lookup(wanted).name
        return Encoding(name, len(mark[0]) if mark is not None and mark[1].startswith(name) else 0, "")
    if mark is not None:
        return Encoding(mark[1], len(mark[0]), "")
    look = start[:LOOKED_AT].rstrip(b"\0")
    if len(look) >= FEWEST:
        zeros = tuple(half.count(0) / max(len(half), 1) for half in (look[::2], look[1::2]))
        for name, (text, zero) in (("utf-16-le", zeros), ("utf-16-be", zeros[::-1])):
            if text == 0 and zero > SURE:
                return Encoding(name, 0, f"the file has no byte-order mark and is read as {WORDS[name]} (--encoding)")
    controls = sum(look.count(byte) for byte in range(32) if byte not in b"\t\n\r\x0c\x1a\x1b")
    if controls > MOST_CONTROLS * len(look):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start, final=whole)
    except UnicodeDecodeError as error:
        line = start.count(b"\n", 0, error.start) + 1
        return Encoding("cp1252", 0, f"line {line} is not UTF-8: the file is read as Windows-1252 (--encoding)")
    return Encoding("utf-8", 0, "")


def checked_encoding(name: str) -> str:
    """The name of a codec for text. Raises UserError for another."""
    try:
        if "0,-.;\n".encode(name).decode(name) == "0,-.;\n":
            return name
    except (LookupError, UnicodeError, ValueError, TypeError):
        pass
    raise UserError(f"--encoding {name!r} is not possible: allowed is a text encoding such as utf-8, utf-16 or cp1252")
