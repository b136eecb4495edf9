"""Arrays of the user's own: npz files, and folders of npy files, with images and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from imctrain.data.archive import sha256_of_file
from imctrain.data.dataset import Images, Labels, RawImages, Source, StreamedSplit
from imctrain.data.own.array_files import ArrayFile, arrays_of
from imctrain.data.own.array_names import Named, named
from imctrain.data.own.array_values import (
    Axes,
    Scale,
    as_labels,
    axes_of,
    labels_of,
    named_classes,
    scale_of,
)
from imctrain.data.own.pixels import fitted
from imctrain.data.own.splitting import check_class_names, choose_splits, in_order, number_of_classes
from imctrain.data.reading.names import shown
from imctrain.data.request import PLAIN, Options, Request
from imctrain.data.spool import Spool
from imctrain.errors import UserError


def read_arrays(path: Path, request: Request = PLAIN, order: Sequence[str] = ()) -> RawImages:
    """All images of an npz file, or of a folder of npy files.

    Args:
        path: of it. request: how it is read.
        order: names of the labels 0, 1 ..., where they are known.

    Raises:
        UserError: damaged files, names, shapes, types or values that do not say what they are.
    """
    where = shown(path)
    request.progress(f"reading {path.name}", 0, 0)
    arrays = arrays_of(path, request.bounds) or []
    found = _named(path, where, arrays)
    if found.others:
        request.tell(f"arrays that are not used: {', '.join(map(shown, found.others))}")
    labels, classes = _labels(where, found, request, order)
    number_of_classes(where, classes)
    check_class_names(where, classes)
    for part, names in labels.items():
        new = np.setdiff1d(names, labels.get("train", labels.get("all", names)))
        if len(new):
            raise UserError(f"{where} has {part} images of class {shown(classes[new[0]])} and no training image of it")
    axes = {part: axes_of(pair.images, len(labels[part])) for part, pair in found.parts.items()}
    _agree(where, axes.values(), request.options)
    scale = scale_of([pair.images for pair in found.parts.values()])
    if scale.note:
        request.tell(scale.note)
    chosen = choose_splits(where, labels, classes, request, "{} images and labels")
    spools = {
        split: Spool(_shape(len(rows), axes[part], request.options), request.scratch, request.bounds, where)
        for split, (part, rows) in chosen.items()
    }
    for part, pair in found.parts.items():
        targets = [(spools[split], rows) for split, (of, rows) in chosen.items() if of == part]
        _fill(pair.images, axes[part], scale, targets, request)
    splits = {split: StreamedSplit(spools[split], labels[part][rows]) for split, (part, rows) in chosen.items()}
    digest = sha256_of_file(path) if path.is_file() else _digest(arrays)
    return RawImages(splits, classes, Source("arrays", path.name, digest, how=request.options.how))


def _named(path: Path, where: str, arrays: list[ArrayFile]) -> Named:
    if len(arrays) == 1 and path.is_file():
        raise UserError(
            f"{where} holds one array: give an npz file with x_train, y_train, x_test and y_test (or images and "
            "labels), or the folder that holds such npy files"
        )
    return named(where, arrays)


def _labels(
    where: str, found: Named, request: Request, order: Sequence[str]
) -> tuple[dict[str, Labels], tuple[str, ...]]:
    """Class indices of every part, and the classes."""
    read = {part: labels_of(pair.labels) for part, pair in found.parts.items()}
    occurring = {name for names, _ in read.values() for name in names}
    if order:
        classes = tuple(order)
        places = {str(index): index for index in range(len(order))}
        wrong = sorted(occurring - places.keys())
        if wrong:
            raise UserError(f"{where} has label {shown(wrong[0])}: allowed is 0 to {len(order) - 1}")
    else:
        names = named_classes(found.classes, sorted(occurring), request.tell)
        sorted_labels = in_order(occurring)
        classes = tuple(names.get(label, label) for label in sorted_labels)
        places = {label: index for index, label in enumerate(sorted_labels)}
    return {part: as_labels(names, which, places) for part, (names, which) in read.items()}, classes


def _agree(where: str, axes: Collection[Axes], options: Options) -> None:
    """Raises UserError for parts with other sizes or channels, where none are asked for."""
    sizes = sorted({(found.height, found.width) for found in axes})
    if len(sizes) > 1 and options.size is None:
        both = " and ".join(f"{height}x{width}" for height, width in sizes)
        raise UserError(f"{where} has images of {both}: add --size HxW to resize them")
    if len({found.channels for found in axes}) > 1 and options.mode is None:
        raise UserError(f"{where} has grey and coloured images: add --mode rgb or --mode grey")


def _shape(count: int, axes: Axes, options: Options) -> tuple[int, int, int, int]:
    height, width = options.size or (axes.height, axes.width)
    channels = axes.channels if options.mode is None else {"grey": 1, "rgb": 3}[options.mode]
    return (count, height, width, channels)


def _fill(
    array: ArrayFile,
    axes: Axes,
    scale: Scale,
    targets: list[tuple[Spool, npt.NDArray[np.intp]]],
    request: Request,
) -> None:
    """Reads an array once, and puts each row where it belongs."""
    place = {int(row): (spool, index) for spool, rows in targets for index, row in enumerate(rows)}
    whole = targets[0][0] if len(targets) == 1 else None
    start = 0
    for block in array.rows():
        images = _converted(scale.pixels(axes.images(block)), request.options)
        if whole is not None:
            whole.write(start, images)
        else:
            for row, image in enumerate(images, start):
                spool, index = place[row]
                spool.write(index, image[None])
        start += len(images)
        request.progress(f"reading {shown(array.name)}", start, array.shape[0])


def _converted(images: Images, options: Options) -> Images:
    """Colours and size as asked for."""
    if options.mode is None and options.size is None:
        return images
    from PIL import Image

    wanted = {"grey": "L", "rgb": "RGB", None: "L" if images.shape[-1] == 1 else "RGB"}[options.mode]
    done = []
    for image in images:
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        pixels = np.asarray(fitted(picture.convert(wanted), options))
        done.append(pixels.reshape(*pixels.shape[:2], -1))
    return np.stack(done)


def _digest(arrays: Sequence[ArrayFile]) -> str:
    """SHA-256 of the sorted names, types and values of a folder's arrays."""
    lines = []
    for array in arrays:
        digest = hashlib.sha256(f"{array.name} {array.dtype.str} {array.shape}\n".encode("utf-8", "surrogatepass"))
        for rows in array.rows():
            digest.update(np.ascontiguousarray(rows).data.cast("B"))
        lines.append(digest.hexdigest())
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
