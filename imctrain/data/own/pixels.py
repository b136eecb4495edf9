"""Image files as 8-bit pixels, by the rules of docs/data.md: formats, colours, transparency, depth, size.

| stored as | becomes |
|---|---|
| 8-bit grey or RGB | itself |
| 1 bit | 0 or 255 |
| 16-bit grey | round(value / 257) |
| a palette | its colours; grey where the whole palette is grey |
| transparent pixels | laid over the background |
| CMYK, YCbCr, HSV | RGB by Pillow's formulas, without colour profiles |
| RGB, where grey is asked for | ITU-R 601 luma |
| turned by EXIF | upright |
| several frames | the first |
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from imctrain.data.dataset import Images
from imctrain.data.request import Options

if TYPE_CHECKING:
    from PIL import Image

Colour = Literal["grey", "rgb", "either"]

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp")
_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF")
_LOSSY = {"JPEG", "MPO", "WEBP"}
_GREY = {"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I"}
_DEEP = {"I;16", "I;16L", "I;16B", "I;16N", "I"}
_PLAIN = _GREY | {"RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV"}
_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What turns an image upright, by EXIF's orientation."""
_SIDEWAYS = (5, 6, 7, 8)


class BadImage(Exception):
    """A file that should be an image and cannot be read as one; the message completes "FILE ..."."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the header of an image file says.

    Attributes:
        size: (height, width), upright. colour: "either" for a palette of greys.
        mode: Pillow's name of how pixels are stored. lossy: by its format. frames: it has several.
        turned: EXIF turns it. deep: 16 bits a pixel. clear: it may have transparent pixels.
    """

    size: tuple[int, int]
    colour: Colour
    mode: str
    lossy: bool
    frames: bool
    turned: bool
    deep: bool
    clear: bool


def looks_like_image(head: bytes) -> bool:
    """Whether a file that starts so may be an image that is read."""
    return head.startswith(_HEADS)


def facts_of(content: bytes, most: int) -> Facts:
    """Header of an image file.

    Args:
        content: of the file. most: pixels that an image may have.

    Raises:
        BadImage: no image, another format, more pixels, or a way of storing them that is not read.
    """
    with _opened(content) as image:
        width, height = image.size
        if width * height > most:
            raise BadImage(
                f"has {height}x{width} pixels, more than {most}: --max-pixels raises the bound, if it is to be trusted"
            )
        if image.mode not in _PLAIN:
            raise BadImage(f"has pixel mode {image.mode}: convert it to 8-bit or 16-bit grey or colour")
        orientation = _orientation(image)
        if orientation in _SIDEWAYS and image.format != "TIFF":  # of which Pillow says the upright size
            width, height = height, width
        clear = "A" in image.mode or "a" in image.mode or "transparency" in image.info
        return Facts(
            size=(height, width),
            colour=_colour(image),
            mode=image.mode,
            lossy=image.format in _LOSSY,
            frames=bool(getattr(image, "is_animated", False)) and image.format != "MPO",
            turned=orientation in _TURNS,
            deep=image.mode in _DEEP,
            clear=clear,
        )


def pixels_of(content: bytes, mode: Literal["rgb", "grey"], options: Options) -> tuple[Images, int]:
    """An image file as uint8 [height, width, 1 or 3], and the largest value of a 16-bit image (0 for another).

    Raises:
        BadImage: it cannot be decoded.
    """
    from PIL import Image

    with _opened(content) as image:
        turn = _TURNS.get(_orientation(image)) if image.format != "TIFF" else None  # which Pillow turns itself
        flat, largest = _eight_bits(image if turn is None else image.transpose(Image.Transpose[turn]))
        if "A" in flat.mode or "a" in flat.mode or "transparency" in flat.info:
            flat = _over(flat, options.background)
        wanted = "L" if mode == "grey" else "RGB"
        if flat.mode != wanted:
            flat = flat.convert("RGB").convert(wanted)
        pixels = np.asarray(fitted(flat, options))
    return pixels.reshape(*pixels.shape[:2], 1 if mode == "grey" else 3), largest


def fitted(image: Image.Image, options: Options) -> Image.Image:
    """An image (L or RGB) in the size that was asked for."""
    from PIL import Image, ImageOps

    if options.size is None or image.size == options.size[::-1]:
        return image
    size, way = options.size[::-1], Image.Resampling.BICUBIC
    if options.fit == "crop":
        return ImageOps.fit(image, size, way)
    if options.fit == "pad":
        return ImageOps.pad(image, size, way, color=options.background)
    return image.resize(size, way)


def _eight_bits(image: Image.Image) -> tuple[Image.Image, int]:
    from PIL import Image

    if image.mode not in _DEEP:
        return image, 0
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise BadImage(f"has 32-bit values from {values.min()} to {values.max()}: convert it to 8 or 16 bits")
    largest = int(values.max(initial=0))
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)), largest


def _over(image: Image.Image, background: str) -> Image.Image:
    """Transparent pixels laid over a background."""
    from PIL import Image

    layer = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, background), layer).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF's, 1 where there is none. Of a PNG it is looked for before the pixels alone: the rest would be decoded."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF that is damaged says nothing, and the pixels may be good
        return 1


def _colour(image: Image.Image) -> Colour:
    if image.mode not in ("P", "PA"):
        return "grey" if image.mode in _GREY else "rgb"
    palette = np.asarray(image.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
    return "either" if (palette == palette[:, :1]).all() else "rgb"


@contextlib.contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    """Opens an image of the formats that are read; whatever a damaged one raises is a `BadImage`."""
    from PIL import Image

    # Sizes are looked at before pixels are decoded, by bounds of our own.
    pillows, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield image
    except BadImage:
        raise
    except MemoryError as fault:
        raise BadImage("takes more memory than there is") from fault
    except (OSError, ValueError, SyntaxError, EOFError, LookupError, TypeError, struct.error, ArithmeticError) as fault:
        raise BadImage(f"is no image that can be decoded ({type(fault).__name__})") from fault
    except (AttributeError, RuntimeError, AssertionError) as fault:  # of Pillow's plugins, at damaged files
        raise BadImage(f"is no image that can be decoded ({type(fault).__name__})") from fault
    finally:
        Image.MAX_IMAGE_PIXELS = pillows
