"""EMNIST: handwritten letters and digits, grey images of 28 x 28 pixels, in six data sets of four idx files each.

Source: G. Cohen et al., "EMNIST: an extension of MNIST to handwritten letters", 2017. The files hold images column by
column; they are brought upright here. Labels of `letters` count from 1 in the files, and from 0 here. TFDS has images
as they lie in the files, and 37 classes of letters, so its builder is not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

from imctrain.data.dataset import RawImages
from imctrain.data.published.idx import read_idx
from imctrain.data.published.official import Official, Reader
from imctrain.data.request import PLAIN, Request
from imctrain.data.verify import Expected

_ALL = tuple(digits + ascii_uppercase + ascii_lowercase)
_MERGED = tuple(digits + ascii_uppercase + "abdefghnqrt")
"""Letters whose two cases look alike are one class."""
CLASSES = {
    "balanced": _MERGED,
    "byclass": _ALL,
    "bymerge": _MERGED,
    "digits": tuple(digits),
    "letters": tuple(ascii_lowercase),
    "mnist": tuple(digits),
}
_PER_CLASS = {
    "balanced": {"train": 2400, "test": 400},
    "digits": {"train": 24000, "test": 4000},
    "mnist": {"train": 6000, "test": 1000},
}
_TOTALS = {kind: {"train": 697932, "test": 116323} for kind in ("byclass", "bymerge")}
# `letters` is described with two counts: 88,800 and 14,800 images, and 124,800 and 20,800. So none is compared.


def _reader(kind: str) -> Reader:
    def read(path: Path, *, checksums: Mapping[str, str], request: Request = PLAIN) -> RawImages:
        """The four idx files of one of the six; see `official.Reader`."""
        first = 1 if kind == "letters" else 0
        return read_idx(path, CLASSES[kind], request, kind=kind, transposed=True, first_label=first)

    return read


EMNIST = tuple(
    Official(
        name=f"emnist_{kind}",
        title=f"EMNIST {kind}",
        files=f"the four idx files emnist-{kind}-*",
        expected=Expected((28, 28, 1), classes, _PER_CLASS.get(kind), totals=_TOTALS.get(kind)),
        read=_reader(kind),
        idx=kind,
    )
    for kind, classes in CLASSES.items()
)
