"""The file of a recording: operands of gradient MVMs in a compressed npz, everything else in JSON inside it.

Operands are stored as float16 in units of their formats: gradients over s (level 1 of radix-4; the largest is 4096),
weights and activations over the scale of one code. That is before any rounding to the format, and 11 bits of
significand are far finer than it.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imctrain.errors import UserError
from imctrain.files import FULL, replacing, told
from imctrain.reading import parse_json
from imctrain.report.mapping_figure import RecordedRun
from imctrain.studies.sampling import Values

VERSION = "1.0"
LARGEST = 60_000.0
"""What float16 holds, about; formats saturate long before."""


@dataclass(frozen=True)
class MvmRecord:
    """One gradient MVM of one site at one moment.

    Attributes:
        step: steps taken before. site, mvm: which.
        driven: output gradient over `driven_scale`, [G', M', K'] (see `sampling.Sample`), float32.
        stored: the operand it meets over `stored_scale`, [G', N', K'].
        stored_signed, stored_bits: of the integer format that it is encoded in.
        signal: mean square of the whole MVM's exact integer product, over all outputs.
        tile, of_tiles: rows of a tile, and tiles of the whole MVM.
        rows: of the array that tiles were cut for.
        groups, vectors, contraction, outputs: G, M, K and N of the whole MVM.
    """

    step: int
    site: str
    mvm: str
    driven: Values
    stored: Values
    driven_scale: float
    stored_scale: float
    stored_signed: bool
    signal: float
    tile: int
    of_tiles: int
    rows: int
    groups: int
    vectors: int
    contraction: int
    outputs: int
    stored_bits: int = 4


@dataclass(frozen=True)
class Recording:
    """Records of a run, in order of step, site and MVM.

    Attributes:
        about: of the run, its config included.
    """

    about: RecordedRun
    records: tuple[MvmRecord, ...]

    @property
    def steps(self) -> list[int]:
        return list(self.about["steps"])

    def of(self, step: int, site: str, mvm: str) -> MvmRecord:
        """One record. Raises KeyError for one that is not there."""
        for record in self.records:
            if (record.step, record.site, record.mvm) == (step, site, mvm):
                return record
        raise KeyError((step, site, mvm))


def save_recording(recording: Recording, target: Path) -> None:
    """Write the npz, whole or not at all. Raises UserError where that is not possible."""
    arrays = {}
    described = []
    for number, record in enumerate(recording.records):
        for name in ("driven", "stored"):
            values = np.clip(getattr(record, name), -LARGEST, LARGEST)
            arrays[f"{number:03d}/{name}"] = values.astype(np.float16)
        fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
        described.append({key: value for key, value in fields.items() if key not in ("driven", "stored")})
    about = {"schema_version": VERSION, **recording.about, "records": described}
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, about=np.asarray(json.dumps(about)), **arrays)
    except OSError as error:
        why = told(error, str(target)) if error.errno in FULL else f"{target} cannot be written ({error.strerror})"
        raise UserError(f"{why}: choose another file with --out") from None


def load_recording(path: Path) -> Recording:
    """Read what `save_recording` wrote. Raises UserError for any other file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = parse_json(str(stored["about"]), f"about in {path}")
            described = about.pop("records")
            records = [
                MvmRecord(
                    driven=stored[f"{number:03d}/driven"].astype(np.float32),
                    stored=stored[f"{number:03d}/stored"].astype(np.float32),
                    **fields,
                )
                for number, fields in enumerate(described)
            ]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror or 'no npz'}): give what `imctrain record` wrote"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path} is no recording: give what `imctrain record` wrote") from None
    return Recording(about, tuple(records))
