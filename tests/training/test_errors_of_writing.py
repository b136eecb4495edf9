"""What tensorstore tells of a disk in words becomes the number that the system has for it."""

from __future__ import annotations

import errno
import os

import pytest

from imctrain.training.damage import number_of, reason

FULL = 'RESOURCE_EXHAUSTED: Error opening "zarr" driver: Error writing "x/.zarray" in OCDBT database at local file "r/"'
DENIED = 'Error writing "r/x" [OS error 13: Permission denied] [source locations=...]'


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (ValueError(FULL), errno.ENOSPC),
        (ValueError(DENIED), errno.EACCES),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), errno.EDQUOT),
        (RuntimeError("something else"), errno.EIO),
    ],
)
def test_an_error_has_its_number(error, number):
    assert number_of(error) == number
    told = reason(error)
    assert told == ("RuntimeError: something else" if number == errno.EIO else os.strerror(number))
