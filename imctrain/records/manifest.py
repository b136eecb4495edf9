"""The manifest of an exported network: JSON text in its file, beside the arrays."""

from __future__ import annotations

from typing import ClassVar

from pydantic import JsonValue

from imctrain.records.base import Kept

VERSION = "1.0"


class SiteManifest(Kept):
    """A matmul or a convolution whose weights the array holds.

    Its arrays are array/SITE/codes (integers, in the layout of the program's own operand), array/SITE/scale (of one
    code), array/SITE/clip, array/SITE/ranges (R of each pass of the forward MVM) and, of what is driven,
    array/SITE/driven_scale and array/SITE/driven_clip.
    """

    site: str
    path: str
    """"exact", "auto", "statistical" or "digital": what the config computes it on."""
    stored: str
    """Side of the program's operands that the array holds: "lhs" or "rhs"."""
    stored_format: str
    """Such as "int4"."""
    driven_format: str
    """Such as "uint4"; what is driven may be signed."""
    stored_shape: tuple[int, ...]
    driven_shape: tuple[int, ...]
    """Of the batch that was driven."""


class Manifest(Kept):
    """What an exported network is."""

    WHAT: ClassVar[str] = "manifest of a network"
    REMEDY: ClassVar[str] = "export the run again"

    schema_version: str = VERSION
    name: str
    """Of the experiment."""
    source: str
    """Folder of the run."""
    checkpoint: str
    """"best" or "last"."""
    step: int
    """Steps taken."""
    test_accuracy: float | None
    """At that step, a fraction of the images that epochs were judged by; null where it was not evaluated."""
    evaluation: int
    """Number of that evaluation: it gives its noise."""
    baseline_test_accuracy: float | None
    """Of the float baseline beside the run; null without one."""
    config: dict[str, JsonValue]
    """Of the training, as resolved."""
    config_hash: str
    calibration: dict[str, JsonValue] | None
    """Content of the calibration that it was trained on; null in float training."""
    calibration_sha256: str | None
    """Of its content, notes left out."""
    dataset: str
    dataset_content: str | None
    """SHA-256 of images and labels."""
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    """Height, width, channels."""
    mean: tuple[float, ...]
    """Of each channel, a fraction of full scale: what the network is given is (pixel / 255 - mean) / std."""
    std: tuple[float, ...]
    sites: tuple[SiteManifest, ...]
    """Weights that the array holds, in program order; none in float training."""
    driven_images: int
    """Training images that were driven where clips were read."""
    sha256: str
    """Of the float arrays: names, shapes and bits."""
    code: dict[str, str] | None = None
    """Files of a network of the user's own, by path; missing where it is built in, and for an installed module."""
    code_sha256: str | None = None
    """Of that network's code; missing where it is built in."""
    versions: dict[str, str]
