"""How a source is read: what users choose, its bounds, and who is told."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from imctrain.data.archive import Progress, no_progress
from imctrain.data.reading.bounds import DEFAULT, Bounds
from imctrain.errors import UserError

Mode = Literal["rgb", "grey"]
Fit = Literal["crop", "pad", "stretch"]
Background = Literal["white", "black"]
_SIZE = re.compile(r"(\d{1,6})(?:[xX](\d{1,6}))?")
Tell = Callable[[str], None]
"""Called with one line that the user should know."""


def tell_nobody(note: str) -> None:
    """The `Tell` that shows nothing."""


@dataclass(frozen=True)
class Options:
    """What users choose of an import of their own data.

    Attributes:
        mode: colours of all images; None: as they are, and they must agree.
        size: (height, width) that all images are resized to; None: as they are, and they must agree.
        fit: how a resized image keeps its proportions: cut to the new ones around its centre (crop), filled up with
            the background (pad), or not at all (stretch). Pixels are interpolated bicubically, and averaged where an
            image becomes smaller.
        background: what shows through transparent pixels, and fills up.
        test_fraction: share of the training images of every class that become test images; None: none do.
        seed: of that choice.
        skip_bad: share of the images that may be left out because they cannot be read.
        follow_links: follow links that leave the folder.
    """

    mode: Mode | None = None
    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    background: Background = "white"
    test_fraction: float | None = None
    seed: int = 0
    skip_bad: float = 0.0
    follow_links: bool = False

    def __post_init__(self) -> None:
        for name, allowed in (("mode", Mode), ("fit", Fit), ("background", Background)):
            found = getattr(self, name)
            if found is not None and found not in get_args(allowed):
                raise UserError(f"--{name} {found} is not possible: allowed is {' or '.join(get_args(allowed))}")
        if self.test_fraction is not None and not 0 < self.test_fraction < 1:
            raise UserError(f"--test-fraction {self.test_fraction:g} is not possible: allowed is between 0 and 1")
        if not 0 <= self.skip_bad < 1:
            raise UserError(f"--skip-bad {self.skip_bad:g} is not possible: allowed is from 0 to below 1")
        if self.size is not None and not all(1 <= side <= 1 << 14 for side in self.size):
            height, width = self.size
            raise UserError(f"--size {height}x{width} is not possible: allowed are sides of 1 to {1 << 14} pixels")

    @classmethod
    def parse(cls, *, size: str | None, mode: str | None, fit: str, background: str, **others: Any) -> Options:
        """From what stands on a command line; `size` is HxW, or one number for both. Raises UserError."""
        sides = None
        if size is not None:
            found = _SIZE.fullmatch(size.strip())
            if found is None:
                raise UserError(f"--size {size} is not possible: give height and width, such as 32x32")
            sides = (int(found[1]), int(found[2] or found[1]))
        if mode in ("gray", "grayscale", "greyscale", "l"):
            mode = "grey"
        return cls(
            mode=cast(Mode | None, mode),
            size=sides,
            fit=cast(Fit, fit),
            background=cast(Background, background),
            **others,
        )

    @property
    def how(self) -> str:
        """What the pixels and splits depend on, beside the source; empty where nothing was chosen."""
        chosen = []
        if self.mode is not None:
            chosen.append(f"mode={self.mode}")
        if self.size is not None:
            chosen.append(f"size={self.size[0]}x{self.size[1]} fit={self.fit}")
        if self.background != "white":
            chosen.append(f"background={self.background}")
        if self.test_fraction is not None:
            chosen.append(f"test_fraction={self.test_fraction:g} seed={self.seed}")
        return " ".join(chosen)


AS_THEY_ARE = Options()


@dataclass(frozen=True)
class Request:
    """One reading of a source.

    Attributes:
        options, bounds: see there. progress: told what is being done. tell: told what users should know.
        scratch: folder for decoded images.
    """

    options: Options = AS_THEY_ARE
    bounds: Bounds = DEFAULT
    progress: Progress = no_progress
    tell: Tell = tell_nobody
    scratch: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))


PLAIN = Request()
