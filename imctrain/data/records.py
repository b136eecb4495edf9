"""The records of a prepared data set, split by split, and the images in them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imctrain.data.dataset import Images
from imctrain.data.prepared import damaged_records, image_and_label, quiet_tfds, read_builder
from imctrain.errors import UserError

SPLITS = ("train", "test")
GIVEN = "validation"


@dataclass(frozen=True)
class Records:
    """One split's records, undecoded.

    Attributes:
        examples: TFDS's data source. image, label: keys of the features to take. folder: of the records.
        split: its name in the data set.
    """

    examples: Sequence[Mapping[str, bytes]]
    image: str
    label: str
    folder: Path
    split: str

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        """The file and the label of one image."""
        with damaged_records(self.folder):
            example = self.examples[index]
            return example[self.image], int(example[self.label])


def records_of(records: Path, name: str) -> dict[str, Records]:
    """The splits of a prepared data set: "train", "test" (or what stands for it), and "validation" beside them.

    Raises:
        UserError: records in another format than ArrayRecord, damaged ones, no single image and label, images that are
            not 8 bit, or no test split.
    """
    import tensorflow_datasets as tfds

    builder = read_builder(records)
    info = builder.info
    image, label = image_and_label(info, name)
    dtype = np.dtype(info.features[image].np_dtype)
    if dtype != np.uint8:
        raise UserError(f"data set {name} has {dtype} images: imctrain trains on 8-bit images")
    held_out = next((split for split in ("test", "validation") if split in info.splits), None)
    if "train" not in info.splits or held_out is None:
        raise UserError(
            f"data set {name} has the splits {', '.join(info.splits) or 'none'}: "
            "needed are train and test (or validation)"
        )
    wanted = {"train": "train", "test": held_out}
    if GIVEN in info.splits and held_out != GIVEN:
        wanted[GIVEN] = GIVEN
    try:
        with damaged_records(records), quiet_tfds():
            parts = {
                split: builder.as_data_source(split=part, decoders={image: tfds.decode.SkipDecoding()})
                for split, part in wanted.items()
            }
    except NotImplementedError as fault:
        raise UserError(
            f"data set {name} in {records} is stored as {info.file_format.value}: prepare it with "
            'download_and_prepare(file_format="array_record")'
        ) from fault
    for split, part in parts.items():
        if len(part) != info.splits[wanted[split]].num_examples or not len(part):
            raise UserError(
                f"data set {name} has {len(part)} of {info.splits[wanted[split]].num_examples} {split} records in "
                f"{records}: they are damaged or cut; import it again with --replace"
            )
    return {split: Records(part, image, label, records, wanted[split]) for split, part in parts.items()}


def decode_image(encoded: bytes, name: str, index: int) -> Images:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded)) as image:
            pixels = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as fault:
        raise UserError(f"data set {name}: image {index} cannot be decoded ({fault}): import it again") from fault
    return pixels[..., None] if pixels.ndim == 2 else pixels
