"""TFDS builders that prepare a data set as ArrayRecord without TensorFlow.

TFDS 4.9 prepares, shards, shuffles and describes a data set in pure Python; what needs TensorFlow is encoding an
image from an array, unpacking an archive, and spilling a split of more than 1000 MiB to disk while shuffling. So these
builders hand over PNG bytes, read archives themselves, and refuse what would spill. The result is TFDS's own layout:
`tfds.data_source(name, data_dir=...)` reads it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.core.utils import tfds_path

from imctrain.data.archive import Progress
from imctrain.data.dataset import PixelDigest, RawImages, RawSplit
from imctrain.data.published.official import Official
from imctrain.errors import UserError

PNG_COMPRESSION = 1
"""zlib level: small images gain nothing from more."""

LARGEST_SPLIT = 900 << 20
"""Bytes of PNG in a split; TFDS keeps 1000 MiB of records in memory before it needs TensorFlow to spill them."""

Reader = Callable[[tfds.download.DownloadManager], RawImages]
Example = tuple[int, dict[str, object]]
"""A key, and the features of an image as TFDS encodes them."""


@runtime_checkable
class MakeBuilder(Protocol):
    """A class of builders, as `importing` calls it."""

    def __call__(self, *, reader: Reader, progress: Progress, data_dir: Path) -> tfds.core.DatasetBuilder: ...


def png_bytes(image: np.ndarray) -> bytes:
    """uint8 [h, w, 1 or 3] as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    pixels = image[..., 0] if image.shape[-1] == 1 else image
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=PNG_COMPRESSION)
    return buffer.getvalue()


class _FromRawImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes what `reader` returns, and its source into the data set's metadata.

    The metadata is TFDS's own: `builder.info.metadata`, in metadata.json.
    """

    # Stock TFDS looks for the checksums of downloads beside the builder's source file, with a package that it does
    # not install (importlib_resources).
    url_infos: Mapping[str, checksums.UrlInfo] | None = None

    def __init__(self, *, reader: Reader, progress: Progress, data_dir: Path):
        self._reader = reader
        self._progress = progress
        super().__init__(data_dir=data_dir, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        stock = super()._info()
        return tfds.core.DatasetInfo(
            builder=self,
            description=stock.description,
            features=stock.features,
            supervised_keys=stock.supervised_keys,
            homepage=stock.homepage,
            citation=stock.citation,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterable[Example]]:
        raw = self._reader(dl_manager)
        self.info.features["label"].names = list(raw.classes)
        if raw.coarse is not None and "coarse_label" in self.info.features:
            self.info.features["coarse_label"].names = list(raw.coarse[0])
        self.info.metadata.update(raw.source.as_dict())
        digest = PixelDigest()
        return {name: self._examples(name, split, raw, digest) for name, split in raw.splits.items()}

    def _examples(self, name: str, split: RawSplit, raw: RawImages, digest: PixelDigest) -> Iterator[Example]:
        has_id = "id" in self.info.features
        coarse = raw.coarse[1][name] if raw.coarse is not None and "coarse_label" in self.info.features else None
        encoded = 0
        for index, (image, label) in enumerate(zip(split.images, split.labels, strict=True)):
            png = png_bytes(image)
            encoded += len(png)
            if encoded > LARGEST_SPLIT:
                raise UserError(
                    f"{self.name} has more than {LARGEST_SPLIT >> 20} MiB of {name} images: "
                    "import smaller (--size) or fewer images"
                )
            digest.add(name, int(label), image)
            more: dict[str, object] = {"id": f"{name}_{index:05d}"} if has_id else {}
            if coarse is not None:
                more["coarse_label"] = int(coarse[index])
            yield index, {"image": png, "label": int(label)} | more
            if index % 1000 == 999 or index == len(split) - 1:
                self._progress(f"writing {name} images", index + 1, len(split))
        # TFDS writes the metadata after the last split.
        self.info.metadata["pixels"] = digest.hexdigest()

    def _generate_examples(self, *args: object, **kwargs: object) -> Iterator[Example]:
        raise NotImplementedError("_split_generators hands over the generators")


def known_urls(name: str) -> Mapping[str, checksums.UrlInfo]:
    """Size and checksum of a data set's downloads by their address, as TFDS has them."""
    return checksums.load_url_infos(tfds_path() / "url_checksums" / f"{name}.txt")


def official_builder(official: Official) -> MakeBuilder:
    """TFDS's own builder of a published data set, from any of the sources that `importing` reads; one like it where
    TFDS has none."""
    if not official.tfds:
        return image_tree_builder(official.name, official.expected.shape, official.expected.classes)
    stock = getattr(tfds.image_classification, official.tfds)

    class Stock(_FromRawImages, stock, skip_registration=True):  # type: ignore[call-arg, misc, valid-type]
        name = official.name
        url_infos = known_urls(official.name)

    return Stock


class _ImageTree(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Features of a data set of the user's own."""

    VERSION = tfds.core.Version("1.0.0")
    SHAPE: tuple[int, int, int]
    CLASSES: tuple[str, ...]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images imported by imctrain.",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=self.SHAPE),
                    "label": tfds.features.ClassLabel(names=list(self.CLASSES)),
                }
            ),
            supervised_keys=("image", "label"),
        )


def image_tree_builder(name: str, shape: tuple[int, int, int], classes: tuple[str, ...]) -> MakeBuilder:
    """A builder class for a data set that TFDS does not know, of one image shape."""

    class ImageTree(_FromRawImages, _ImageTree, skip_registration=True):  # type: ignore[call-arg]
        SHAPE = shape
        CLASSES = classes

    ImageTree.name = name
    return ImageTree
