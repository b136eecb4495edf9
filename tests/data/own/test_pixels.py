"""Image files of every kind become 8-bit pixels by the rules that docs/data.md states."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from data_archives import picture, stored
from PIL import Image, features

from imctrain.data.own.pixels import BadImage, Facts, facts_of, looks_like_image, pixels_of
from imctrain.data.request import AS_THEY_ARE, Options

MOST = 1 << 20


def pixels(content: bytes, mode: str = "rgb", **options) -> np.ndarray:
    return pixels_of(content, mode, Options(**options))[0]  # type: ignore[arg-type]


def facts(image: Image.Image, kind: str = "PNG", **options) -> Facts:
    return facts_of(stored(image, kind, **options), MOST)


@pytest.fixture
def noise() -> np.ndarray:
    """uint8 [10, 12, 4]."""
    return np.random.default_rng(5).integers(0, 256, (10, 12, 4), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_plain_images_are_themselves(noise, kind):
    grey, colour = stored(Image.fromarray(noise[..., 0]), kind), stored(Image.fromarray(noise[..., :3]), kind)
    np.testing.assert_array_equal(pixels(grey, "grey"), noise[..., :1])
    np.testing.assert_array_equal(pixels(colour), noise[..., :3])
    np.testing.assert_array_equal(pixels(grey), np.repeat(noise[..., :1], 3, axis=-1))
    assert (facts_of(grey, MOST).colour, facts_of(colour, MOST).colour) == ("grey", "rgb")
    assert facts_of(colour, MOST).size == (10, 12)


def test_formats_are_told_by_content_and_lossy_ones_are_marked(noise):
    image = Image.fromarray(noise[..., :3])
    for kind, lossy in (
        ("PNG", False),
        ("JPEG", True),
        ("GIF", False),
        ("BMP", False),
        ("TIFF", False),
        ("WEBP", True),
    ):
        if kind == "WEBP" and not features.check("webp"):
            continue
        content = stored(image, kind)
        assert looks_like_image(content[:16])
        assert facts_of(content, MOST).lossy == lossy
        assert pixels(content).shape == (10, 12, 3)


@pytest.mark.parametrize("kind", ["EPS", "PPM", "TGA", "ICO", "PDF", "SGI", "JPEG2000"])
def test_other_formats_are_not_read(kind):
    """EPS above all, which Pillow hands to an interpreter of programs."""
    content = stored(Image.new("RGB", (16, 16), "red"), kind)
    with pytest.raises(BadImage, match="no image that can be decoded"):
        facts_of(content, MOST)


def test_transparent_pixels_are_laid_over_the_background(noise):
    colours, alpha = noise[..., :3].astype(float), noise[..., 3:].astype(float) / 255
    content = stored(Image.fromarray(noise))
    for background, level in (("white", 255.0), ("black", 0.0)):
        expected = alpha * colours + (1 - alpha) * level
        assert np.abs(pixels(content, background=background) - expected).max() <= 1
    assert facts_of(content, MOST).clear
    opaque = noise.copy()
    opaque[..., 3] = 255
    np.testing.assert_array_equal(pixels(stored(Image.fromarray(opaque))), noise[..., :3])
    grey = stored(Image.fromarray(np.ascontiguousarray(noise[..., 2:]), "LA"))
    expected = alpha * noise[..., 2:3] + (1 - alpha) * 255
    assert facts_of(grey, MOST).colour == "grey"
    assert np.abs(pixels(grey, "grey") - expected).max() <= 1


def test_palettes_are_their_colours(noise):
    image = Image.fromarray(noise[..., :3]).quantize(16)
    content = stored(image)
    assert facts_of(content, MOST).colour == "rgb"
    np.testing.assert_array_equal(pixels(content), np.asarray(image.convert("RGB")))
    greys = Image.new("P", (3, 1))
    greys.putpalette([v for level in (0, 100, 200) for v in (level,) * 3])
    greys.putdata([0, 1, 2])
    content = stored(greys)
    assert facts_of(content, MOST).colour == "either"
    assert pixels(content, "grey").reshape(-1).tolist() == [0, 100, 200]
    clear = stored(greys, transparency=1)
    assert pixels(clear, "grey").reshape(-1).tolist() == [0, 255, 200]
    assert pixels(clear, "grey", background="black").reshape(-1).tolist() == [0, 0, 200]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_become_eight(kind):
    values = np.arange(0, 65536, 251, dtype=np.uint16).reshape(1, -1)
    content = stored(Image.fromarray(values), kind)
    found, largest = pixels_of(content, "grey", AS_THEY_ARE)
    np.testing.assert_array_equal(found[0, :, 0], np.rint(values[0] / 257).astype(int))
    assert largest == values.max()
    assert facts_of(content, MOST).deep


def test_depths_that_say_nothing_are_refused():
    content = stored(Image.fromarray(np.full((2, 2), 70000, np.int32)), "TIFF")
    with pytest.raises(BadImage, match="32-bit values from 70000 to 70000: convert"):
        pixels(content, "grey")
    with pytest.raises(BadImage, match="pixel mode F: convert it to 8-bit or 16-bit"):
        facts_of(stored(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), MOST)


def test_one_bit_cmyk_and_luma(noise):
    bits = Image.fromarray(noise[..., 0] > 127)
    np.testing.assert_array_equal(pixels(stored(bits), "grey")[..., 0], np.where(noise[..., 0] > 127, 255, 0))
    ink = Image.fromarray(noise, "CMYK")
    content = stored(ink, "TIFF")
    assert facts_of(content, MOST).mode == "CMYK"
    expected = (255 - noise[..., :3].astype(float)) * (255 - noise[..., 3:].astype(float)) / 255
    assert np.abs(pixels(content) - expected).max() <= 1.5
    luma = noise[..., :3] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(pixels(stored(Image.fromarray(noise[..., :3])), "grey")[..., 0] - luma).max() <= 1


def test_the_first_of_several_frames_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
    for kind in ("GIF", "TIFF"):
        content = stored(frames[0], kind, save_all=True, append_images=frames[1:])
        assert facts_of(content, MOST).frames
        assert pixels(content)[0, 0].tolist() == [255, 0, 0]
    assert not facts(frames[0], "GIF").frames


UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90,
}
"""What EXIF's standard says of each orientation."""


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_photographs_are_turned_upright(noise, kind, orientation):
    image = Image.fromarray(noise[..., :3])
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(image, kind, exif=exif)
    plain = pixels(stored(image, kind))
    found = facts_of(content, MOST)
    expected = UPRIGHT[orientation](plain)
    assert (found.size, found.turned) == (expected.shape[:2], True)
    np.testing.assert_array_equal(pixels(content), expected)
    assert facts(image, kind).turned is False


def test_headers_are_read_and_no_pixels(noise, monkeypatch):
    for kind in ("PNG", "JPEG", "BMP", "TIFF", "WEBP"):
        content = stored(Image.fromarray(noise[..., :3]), kind)
        with monkeypatch.context() as patch:
            patch.setattr("PIL.ImageFile.ImageFile.load", None)
            assert facts_of(content, MOST).size == (10, 12)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_images_are_resized_as_asked(fit):
    """Of an image of 8 x 16 with a black middle and white ends, in a square of 4."""
    values = np.full((8, 16), 255, np.uint8)
    values[:, 4:12] = 0
    content = stored(Image.fromarray(values))
    found = pixels(content, "grey", size=(4, 4), fit=fit, background="white")[..., 0].astype(int)
    if fit == "crop":
        assert (found < 55).all()
    elif fit == "stretch":
        assert (found[:, [0, 3]] > 200).all()
        assert (found[:, 1:3] < 55).all()
    else:
        assert (found[[0, 3]] == 255).all()
        assert (found[1:3, 1:3] < 55).all()
    assert found.shape == (4, 4)


def test_an_image_in_its_size_is_not_touched(noise):
    content = stored(Image.fromarray(noise[..., :3]))
    np.testing.assert_array_equal(pixels(content, size=(10, 12)), noise[..., :3])


def test_every_mode_that_is_written_is_read_or_told():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"):
        kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
        content = stored(picture(mode), kind)
        wanted = "grey" if facts_of(content, MOST).colour == "grey" else "rgb"
        assert pixels(content, wanted).shape == (10, 12, 1 if wanted == "grey" else 3)


def huge_png(width: int, height: int) -> bytes:
    """A header that says so, and little else."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


def test_pixels_are_bounded_before_they_are_decoded(monkeypatch):
    content = huge_png(50_000, 50_000)
    with pytest.raises(BadImage, match="has 50000x50000 pixels, more than 67108864: --max-pixels"):
        facts_of(content, 1 << 26)
    assert facts_of(content, 50_000**2).size == (50_000, 50_000)
    assert facts_of(stored(picture("L")), 120).size == (10, 12)
    with pytest.raises(BadImage):
        facts_of(stored(picture("L")), 119)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_damaged_images_are_told_and_crash_nothing(noise, kind):
    """Every kind cut and with changed bytes: read, or a BadImage."""
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("this Pillow reads no WebP")
    whole = stored(Image.fromarray(noise[..., :3]), kind)
    rng = np.random.default_rng(3)
    bad = 0
    for turn in range(60):
        content = bytearray(whole)
        if turn % 3 == 0:
            content = content[: int(rng.integers(len(content)))]
        else:
            for at in rng.integers(0, len(content) if turn % 3 == 1 else 60, 4):
                content[at] = int(rng.integers(256))
        try:
            facts_of(bytes(content), MOST)
            assert pixels(bytes(content)).dtype == np.uint8
        except BadImage:
            bad += 1
    assert bad >= 10


def test_pillows_own_bound_is_as_it_was():
    before = Image.MAX_IMAGE_PIXELS
    facts_of(stored(picture("L")), MOST)
    with pytest.raises(BadImage):
        facts_of(b"BM no image", MOST)
    assert before == Image.MAX_IMAGE_PIXELS
    assert isinstance(Image.open(io.BytesIO(stored(picture("L")))), Image.Image)
