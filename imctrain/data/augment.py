"""Augmentation of training images: random horizontal flip, random crop of the padded image, and cutout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from imctrain.data.dataset import Images
from imctrain.errors import UserError

FLIP_PROBABILITY = 0.5


@dataclass(frozen=True)
class Augment:
    """What is done to a training image.

    Attributes:
        flip: mirror half of the images left to right.
        crop_padding: pad by this many pixels on each side and crop back at a random place; 0 for none.
        border: what the pixels of the padding are: "black", or "reflect" for the image mirrored at its border. Black
            borders are edges that no test image has: they raise the variances that batch norm remembers.
        cutout: side of a square at a random place inside the image that is filled with the image's mean colour; 0 for
            none (DeVries and Taylor, 2017, who let it reach over the border).
    """

    flip: bool = False
    crop_padding: int = 0
    border: Literal["black", "reflect"] = "black"
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise UserError(f"crop_padding = {self.crop_padding} is not possible: allowed is 0 or more")
        if self.cutout < 0:
            raise UserError(f"cutout = {self.cutout} is not possible: allowed is 0 or more")

    def apply(
        self, images: UInt8[np.ndarray, "n height width channels"], rng: np.random.Generator
    ) -> UInt8[np.ndarray, "n height width channels"]:
        """Augmented copies of uint8 [n, h, w, c], each image with its own draws from `rng`."""
        shifted = self._shift(images, rng)
        if self.cutout:
            _cut_out(shifted, self.cutout, rng)
        return shifted

    def _shift(self, images: Images, rng: np.random.Generator) -> Images:
        count, height, width, channels = images.shape
        pad = self.crop_padding
        padded = np.zeros((count, height + 2 * pad, width + 2 * pad, channels), np.uint8)
        padded[:, pad : pad + height, pad : pad + width] = images
        if self.border == "reflect" and pad >= min(height, width):
            raise UserError(f"crop = {pad} with border = 'reflect' needs images larger than {pad} pixels: lower crop")
        if self.border == "reflect" and pad:
            _reflect(padded, pad)
        if self.flip:
            mirrored = rng.random(count) < FLIP_PROBABILITY
            padded[mirrored] = padded[mirrored, :, ::-1]
        if not pad:
            return padded
        # A pixel's channels lie side by side, so a row of a crop is one run of bytes: this is several times faster
        # than indexing pixels.
        rows = padded.reshape(count, height + 2 * pad, -1)
        crops = np.lib.stride_tricks.sliding_window_view(rows, (height, width * channels), axis=(1, 2))
        top, left = rng.integers(0, 2 * pad + 1, (2, count))
        return crops[np.arange(count), top, left * channels].reshape(images.shape)


def _cut_out(images: Images, side: int, rng: np.random.Generator) -> None:
    """Fill a square of each of [n, h, w, c] with the image's mean colour, in place."""
    count, height, width, _ = images.shape
    if side >= min(height, width):
        raise UserError(f"cutout = {side} needs images larger than {side} pixels: lower cutout")
    top = rng.integers(0, height - side + 1, count)
    left = rng.integers(0, width - side + 1, count)
    colours = np.round(images.mean(axis=(1, 2), dtype=np.float32)).astype(np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(1, 2), writeable=True)
    windows[np.arange(count), top, left] = colours[:, :, None, None]


def _reflect(padded: Images, pad: int) -> None:
    """Fill the padding of [n, h, w, c] with the image mirrored at its border, in place."""
    for image in (padded, padded.swapaxes(1, 2)):
        image[:, :pad] = image[:, 2 * pad : pad : -1]
        image[:, -pad:] = image[:, -pad - 2 : -2 * pad - 2 : -1]
