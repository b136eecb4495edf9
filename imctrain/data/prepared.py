"""Finding the data sets that are prepared on disk, in TFDS's layout NAME/[CONFIG/]VERSION/dataset_info.json."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imctrain.data.dataset import Source
from imctrain.data.paths import search_dirs
from imctrain.errors import UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

INFO_FILE = "dataset_info.json"
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Prepared:
    """One prepared data set.

    Attributes:
        name: as `load` takes it: NAME or NAME/CONFIG.
        version: of the records.
        path: the folder of the records.
        splits: images of each split.
        shape: (height, width, channels), None in place of a size that varies; None for data without one image feature.
        classes: number of classes, 0 if there is no single label.
        file_format: of the records; imctrain reads "array_record".
        source: where the pixels came from.
        size: bytes of the records.
    """

    name: str
    version: str
    path: Path
    splits: dict[str, int]
    shape: tuple[int | None, ...] | None
    classes: int
    file_format: str
    source: Source
    size: int


def find(name: str, data_dir: str | Path | None = None) -> Path | None:
    """Folder of the newest prepared version of NAME or NAME/CONFIG; None if there is none.

    Raises:
        UserError: NAME has several configurations and none was named.
    """
    for folder in search_dirs(data_dir):
        newest = _newest(folder / name)
        if newest is not None:
            return newest
        configs = [child for child in _folders(folder / name) if _newest(child)]
        if len(configs) > 1:
            options = ", ".join(f"{name}/{config.name}" for config in configs)
            raise UserError(f"data set {name} is prepared in several configurations: name one of {options}")
        if configs:
            return _newest(configs[0])
    return None


def list_prepared(data_dir: str | Path | None = None) -> list[Prepared]:
    """The newest version of everything prepared in the folders that `load` searches."""
    found = []
    for folder in search_dirs(data_dir):
        for child in _folders(folder):
            for candidate in (child, *_folders(child)):
                newest = _newest(candidate)
                if newest is not None:
                    found.append(describe(newest, candidate.relative_to(folder).as_posix()))
    return found


def describe(path: Path, name: str) -> Prepared:
    """What the record folder `path` says about itself."""
    builder = read_builder(path)
    info = builder.info
    try:
        image, label = image_and_label(info, name)
        shape, classes = tuple(info.features[image].shape), int(info.features[label].num_classes)
    except UserError:
        shape, classes = None, 0
    return Prepared(
        name=name,
        version=str(info.version),
        path=path,
        splits={split: int(facts.num_examples) for split, facts in info.splits.items()},
        shape=shape,
        classes=classes,
        file_format=info.file_format.value if info.file_format else "unknown",
        source=Source.from_dict(dict(info.metadata or {})),
        size=sum(file.stat().st_size for file in path.iterdir() if file.is_file()),
    )


def read_builder(path: Path) -> tfds.core.DatasetBuilder:
    """TFDS's read-only builder of a record folder.

    Raises:
        UserError: the folder's description is damaged.
    """
    import tensorflow_datasets as tfds

    try:
        with quiet_tfds():
            return tfds.builder_from_directory(str(path))
    except Exception as fault:  # TFDS parses JSON, protobuf and Python class names here
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise UserError(f"{path} holds no readable TFDS data set ({reason}): delete it and import it again") from fault


def check_records(path: Path) -> None:
    """Reads every record once, undecoded.

    Raises:
        UserError: a file that is damaged or cut, or fewer records than the description says.
    """
    import tensorflow_datasets as tfds

    builder = read_builder(path)
    image, _ = image_and_label(builder.info, builder.info.name)
    for split, facts in builder.info.splits.items():
        with damaged_records(path):
            with quiet_tfds():
                records = builder.as_data_source(split=split, decoders={image: tfds.decode.SkipDecoding()})
            if len(records) != facts.num_examples:
                raise ValueError(f"{len(records)} of {facts.num_examples} {split} records")
            for index in range(len(records)):
                records[index]


@contextlib.contextmanager
def damaged_records(path: Path) -> Iterator[None]:
    """Turns what ArrayRecord and TFDS raise at damaged records into a `UserError`."""
    try:
        yield
    except (UserError, NotImplementedError, MemoryError):
        raise
    except Exception as fault:  # ArrayRecord raises whatever its C++ does
        reason = " ".join((str(fault) or type(fault).__name__).split())[:160]
        raise UserError(
            f"the records in {path} are damaged or cut ({reason}): import the data set again with --replace"
        ) from fault


def image_and_label(info: tfds.core.DatasetInfo, name: str) -> tuple[str, str]:
    """Keys of the image and the label among a TFDS data set's features.

    The supervised keys decide if they are an image and a class; else there must be one feature of each kind.
    """
    import tensorflow_datasets as tfds

    features = dict(info.features.items()) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    match info.supervised_keys:
        case (str(image), str(label)) if image in images and label in labels:
            return image, label
    if len(images) != 1 or len(labels) != 1:
        raise UserError(
            f"data set {name} has {len(images)} image and {len(labels)} class-label features: "
            "imctrain trains on data sets with one of each"
        )
    return images[0], labels[0]


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Silences what TFDS prints, draws and logs; progress and errors are told by imctrain."""
    import tensorflow_datasets as tfds
    from absl import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _newest(path: Path) -> Path | None:
    versions = [
        (tuple(int(part) for part in match.groups()), child)
        for child in _folders(path)
        if (match := _VERSION.fullmatch(child.name)) and (child / INFO_FILE).is_file()
    ]
    return max(versions)[1] if versions else None
