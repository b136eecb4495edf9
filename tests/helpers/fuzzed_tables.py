"""Damaged lab files of every kind, each drawn from its seed, and what reading one may give."""

from __future__ import annotations

import lzma
import random
from pathlib import Path

import polars as pl
from lab_files import conversions_of, text_of

from imctrain.calibration.reading.conversions import Conversions, FileFacts
from imctrain.calibration.reading.how import HowToRead
from imctrain.calibration.reading.setup import MeasurementSetup
from imctrain.errors import UserError

ROWS = conversions_of(25)
PLAIN = text_of(ROWS)
SETUP = MeasurementSetup(rows=1152, levels=16)
BYTES = b"0123456789,;|\t\r\n \"'#-.eExXh\xff\xfe\x00\xe2\x88\x92[](){}/%ABab"
HOWS = (
    HowToRead(),
    HowToRead(skip_bad=0.5, leave_out_missing=True),
    HowToRead(full_scale=0.9, form="twos-complement", first_column=1, decimal="comma"),
    HowToRead(base="hex", separator=" ", encoding="cp1252", units=(("ideal", "mV"),), full_scale=1.0),
    HowToRead(fields=(("column", "ideal"), ("ideal", "column")), ignore=("code",)),
)
BITS = "column,ideal,b7,b6,b5,b4,b3,b2,b1,b0\n" + "".join(f"{n},{x},{','.join(f'{c & 255:08b}')}\n" for n, x, c in ROWS)
WIDE = "ideal,col0,col1,col2\n" + "".join(f"{x},{c},{c},{c}\n" for _, x, c in ROWS)
STARTS: dict[str, bytes] = {
    "plain": PLAIN.encode(),
    "decimal commas": PLAIN.replace(",", ";").replace(".", ",").encode(),
    "preamble, units": b"Model,X\n\n" + PLAIN.replace("column,ideal", "ADC [#],v (V/V)").encode(),
    "savetxt": b"# " + PLAIN.replace(",", " ").encode(),
    "hexadecimal": ("column,ideal,code\n" + "".join(f"A{n},{x},0x{c & 255:X}\n" for n, x, c in ROWS)).encode(),
    "bits": BITS.encode(),
    "wide": WIDE.encode(),
    "UTF-16": PLAIN.encode("utf-16"),
    "xz": lzma.compress(PLAIN.encode()),
    "everything": (
        "sep=;\n" + PLAIN.replace("\n", ";1;25;x;0\n").replace("code;1;25;x;0", "code;range;temp (°C);die;simulated")
    )
    .replace(",", ";")
    .encode(),
}


def outcome(path: Path, how: HowToRead) -> tuple[tuple[pl.DataFrame, FileFacts] | None, str]:
    """(conversions and facts, "") or (None, the line of the refusal); any other exception goes on."""
    try:
        conversions = Conversions(path, SETUP, how=how)
        return (pl.concat(list(conversions.batches())), conversions.facts), ""
    except UserError as error:
        return None, str(error)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, put in or taken out, lines swapped or doubled, the end cut off."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) or 1)
        kind = rng.randrange(6)
        if kind == 0:
            data[at : at + 1] = bytes([rng.choice(BYTES)])
        elif kind == 1:
            data[at:at] = bytes(rng.choice(BYTES) for _ in range(rng.randint(1, 3)))
        elif kind == 2:
            del data[at : at + rng.randint(1, 9)]
        elif kind == 3:
            del data[at:]
        else:
            lines = bytes(data).split(b"\n")
            one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[one], lines[other] = (lines[other], lines[one]) if kind == 4 else (lines[other], lines[other])
            data = bytearray(b"\n".join(lines))
    return bytes(data)


def check(path: Path, how: HowToRead) -> bool:
    """Whether it was read. What is read is conversions that are possible; a refusal is one line."""
    given, message = outcome(path, how)
    assert "\n" not in message
    if given is None:
        assert str(path) in message or message.startswith("--")
        return False
    frame, facts = given
    assert 0 < frame.height == facts.rows - facts.left_out
    assert frame["v"].is_between(-1, 1).all()
    assert frame["code"].is_between(-128, 127).all()
    assert frame["column"].is_between(0, 65535).all()
    assert frame["range"].is_between(0, 1, closed="right").all()
    assert all("\n" not in note for note in facts.notes)
    return True
