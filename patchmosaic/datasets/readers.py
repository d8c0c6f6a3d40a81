"""Raw files to pictures: IDX (MNIST), the binary files of CIFAR-10, collections of image files."""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.image_files import (
    image_names,
    read_images,
    survey,
)
from patchmosaic.datasets.layout import understand
from patchmosaic.datasets.pictures import PictureError, decode
from patchmosaic.system.arrays import ArrayError, read_arrays

IDX_UINT8 = 0x08
IDX_MOST_DIMENSIONS = 4
CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CIFAR10_RECORD_BYTES = 1 + 3 * 32 * 32
CIFAR10_FILES = {
    "train": tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)),
    "test": ("test_batch.bin",),
}
CELEBA_SPLITS = {"train": (1, 162770), "test": (182638, 202599)}
CELEBA_IMAGES = 202599
COLLECTION_LINK = "images"


@dataclass(frozen=True)
class RawSplit:
    """One split of a dataset before preparation.

    ids: (N,) int64 positions or names. labels: (N,) int64 or None. pictures(n) yields
    (position, picture) for the first n images, in any order. understood: how the folders of a
    collection were read, for the record. remarks: counts of pictures.REMARKS, filled as pictures
    are read. pixels: (N, C, size, size) uint8 where there is nothing to prepare, else None.
    """

    ids: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    pictures: Callable[[int], Iterator[tuple[int, Image.Image]]]
    understood: Mapping[str, Any] = field(default_factory=dict)
    remarks: Counter[str] = field(default_factory=Counter)
    pixels: np.ndarray | None = None


Reader = Callable[[Path, str], RawSplit]


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an IDX file, with the shape that its header gives.

    Header: two zero bytes, the type (8: uint8), the number of dimensions, then each dimension as a
    big-endian uint32. Raises DatasetError naming the file where that, or the length, does not hold.
    """
    content = path.read_bytes()
    if len(content) < 4 or content[:3] != bytes((0, 0, IDX_UINT8)) or content[3] == 0:
        raise DatasetError(
            f"{path}: not an IDX file of uint8: it begins with "
            f"{content[:4].hex(' ') or 'nothing'}, expected 00 00 08 and the number of dimensions"
        )
    if content[3] > IDX_MOST_DIMENSIONS:
        raise DatasetError(
            f"{path}: the IDX header promises {content[3]} dimensions, "
            f"allowed: 1 to {IDX_MOST_DIMENSIONS}"
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DatasetError(f"{path}: the IDX header breaks off after {len(content)} bytes")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if 0 in shape:
        raise DatasetError(f"{path}: the IDX header promises nothing (shape {shape})")
    if len(content) - start != math.prod(shape):
        raise DatasetError(
            f"{path}: the IDX header promises {math.prod(shape)} bytes (shape {shape}), "
            f"the file holds {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def idx_reader(class_names: tuple[str, ...]) -> Reader:
    """A reader of the four IDX files of MNIST and its descendants."""

    def read(directory: Path, split: str) -> RawSplit:
        prefix = {"train": "train", "test": "t10k"}[split]
        image_path = directory / f"{prefix}-images-idx3-ubyte"
        label_path = directory / f"{prefix}-labels-idx1-ubyte"
        images, labels = read_idx(image_path), read_idx(label_path)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DatasetError(
                f"{image_path} has shape {images.shape} and {label_path} {labels.shape}; "
                "expected (N, height, width) and (N,)"
            )
        return _from_arrays(images, labels, class_names, label_path)

    return read


def read_cifar10(directory: Path, split: str) -> RawSplit:
    """CIFAR-10 from the files of its binary version.

    A record is one label byte, then 32 x 32 red, green and blue bytes, row by row.
    """
    contents = []
    for name in CIFAR10_FILES[split]:
        content = (directory / name).read_bytes()
        if not content or len(content) % CIFAR10_RECORD_BYTES:
            raise DatasetError(
                f"{directory / name}: it holds {len(content)} bytes, "
                f"expected whole records of {CIFAR10_RECORD_BYTES}"
            )
        contents.append(content)
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, CIFAR10_RECORD_BYTES)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return _from_arrays(images, records[:, 0], CIFAR10_CLASSES, directory)


def _from_arrays(
    images: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], source: Path
) -> RawSplit:
    """images: (N, H, W) or (N, H, W, 3) uint8."""
    if len(labels) and labels.max() >= len(class_names):
        raise DatasetError(f"{source}: label {labels.max()}, allowed: 0 to {len(class_names) - 1}")

    def pictures(count: int) -> Iterator[tuple[int, Image.Image]]:
        for position in range(count):
            yield position, Image.fromarray(images[position])

    return RawSplit(np.arange(len(images)), labels.astype(np.int64), class_names, pictures)


def _collection(directory: Path) -> Path:
    """Where the user's images lie, so that errors name that and not our link to it."""
    return (directory / COLLECTION_LINK).resolve()


def read_cifar10_jpeg(directory: Path, split: str) -> RawSplit:
    """JPEG copies of CIFAR-10, <split>/<class>/<name>; labels in the standard order of classes."""
    path = _collection(directory)
    labelled = []
    for name in image_names(path):
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or parts[-3] not in ("train", "test") or parts[-2] not in CIFAR10_CLASSES:
            raise DatasetError(
                f"{path}: {name} is not <train or test>/<class>/<name> with a class of "
                f"{', '.join(CIFAR10_CLASSES)}"
            )
        if parts[-3] == split:
            labelled.append((name, parts[-2]))
    return _labelled(path, split, labelled, CIFAR10_CLASSES)


def read_celeba(directory: Path, split: str) -> RawSplit:
    """CelebA's aligned faces <six digits>.jpg; the number decides the split, as its authors set it.

    train: 1 to 162770, test: 182638 to 202599 (between them lie the validation images).
    """
    path = _collection(directory)
    first, last = CELEBA_SPLITS[split]
    names: dict[int, str] = {}
    for name in image_names(path):
        stem = PurePosixPath(name).stem
        if not re.fullmatch(r"[0-9]{6}", stem):
            raise DatasetError(
                f"{path}: {name} is not named by six digits as CelebA's images are; "
                "for other images use the dataset image_folder"
            )
        number = int(stem)
        if not 1 <= number <= CELEBA_IMAGES:
            raise DatasetError(
                f"{path}: {name}: CelebA's images have the numbers 1 to {CELEBA_IMAGES}"
            )
        if number in names:
            raise DatasetError(f"{path}: {names[number]} and {name} have one number")
        names[number] = name
    chosen = [names[number] for number in sorted(names) if first <= number <= last]
    return _collected(path, split, chosen, None, ())


def read_image_folder(directory: Path, split: str) -> RawSplit:
    """Anybody's images, [split/][class/]name; how folders are understood is `layout.understand`.

    Classes are numbered in alphabetical order over all splits.
    """
    path = _collection(directory)
    found = survey(path)
    layout = understand(path, found.names)
    chosen, class_names = layout.names(split), layout.class_names()
    if not chosen:
        there = "; ".join(f"{sum(c.values())} for {s}" for s, c in layout.counts().items())
        raise DatasetError(f"{path}: no image for the split {split!r}, but {there}")
    understood = {
        "layout": layout.text(),
        "splits": layout.counts(),
        "passed_over": found.passed_over,
    }
    if any(layout.classes[name] for name in chosen):
        labelled = [(name, layout.classes[name]) for name in chosen]
        raw = _labelled(path, split, labelled, class_names)
    else:
        raw = _collected(path, split, chosen, None, ())
    return replace(raw, understood=understood)


def read_image_array(directory: Path, split: str) -> RawSplit:
    """Images of any number of channels, as they are: an npz file as np.savez writes it.

    images: (N, C, size, size) uint8, to train with; test_images: held out, if there are. labels and
    test_labels: int (N,), numbers of class_names; without these names classes go by their numbers.
    """
    path = _collection(directory)
    try:
        arrays = read_arrays(path)
    except ArrayError as error:
        raise DatasetError(str(error)) from None
    for name, array in arrays.items():
        if name not in ARRAYS or array.dtype.kind not in ARRAYS[name][0]:
            what = "; ".join(f"{key}: {words}" for key, (_, words) in ARRAYS.items())
            raise DatasetError(f"{path}: {name} is {array.dtype} {array.shape}; allowed: {what}")
    counts = {s: len(arrays[k]) for s, k in ARRAY_SPLITS.items() if k in arrays}
    if split not in counts:
        raise DatasetError(
            f"{path}: no {ARRAY_SPLITS[split]}, which the split {split!r} is read from; it has "
            f"{', '.join(arrays)}"
        )
    pixels = arrays[ARRAY_SPLITS[split]]
    labels, class_names = _array_labels(path, arrays, split)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != pixels.shape[3]:
        raise DatasetError(
            f"{path}: {ARRAY_SPLITS[split]} is {pixels.dtype} of shape {pixels.shape}, expected "
            "uint8 (N, C, size, size), values 0 to 255"
        )
    _, channels, size, _ = pixels.shape
    parts = ", ".join(f"{count} images for {s}" for s, count in counts.items())
    classes = f"{len(class_names)} classes" if class_names else "no classes"
    layout = f"{parts}; {channels} channels of {size} x {size} pixels; {classes}"
    understood = {"layout": layout, "splits": counts, "passed_over": {}}
    ids = np.arange(len(pixels))
    return RawSplit(ids, labels, class_names, lambda _: iter(()), understood, pixels=pixels)


ARRAY_SPLITS = {"train": "images", "test": "test_images"}
ARRAYS = {
    "images": ("u", "uint8 (N, C, size, size)"),
    "labels": ("iu", "integers (N,)"),
    "test_images": ("u", "uint8 (N, C, size, size)"),
    "test_labels": ("iu", "integers (N,)"),
    "class_names": ("U", "text (classes,)"),
}
"""The arrays of read_image_array: kinds of numpy's types, and what each is in words."""


def _array_labels(
    path: Path, arrays: Mapping[str, np.ndarray], split: str
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The labels of a split, and the names of classes, which all splits share."""
    keys = {s: key.replace("images", "labels") for s, key in ARRAY_SPLITS.items()}
    there = {s: arrays[key] for s, key in keys.items() if key in arrays}
    if not there and "class_names" not in arrays:
        return None, ()
    for s, name in ARRAY_SPLITS.items():
        if name in arrays and (s not in there or there[s].shape != arrays[name].shape[:1]):
            found = f"of shape {there[s].shape}" if s in there else "missing"
            raise DatasetError(
                f"{path}: {keys[s]} is {found}, expected one for each of the {len(arrays[name])} "
                f"{name}"
            )
    least, most = (int(f(f(v) for v in there.values() if len(v))) for f in (min, max))
    names = tuple(map(str, arrays.get("class_names", np.arange(most + 1)).ravel()))
    if least < 0 or most >= len(names):
        raise DatasetError(
            f"{path}: labels run from {least} to {most}, allowed: 0 to {len(names) - 1}"
        )
    return there[split].astype(np.int64), names


def _labelled(
    path: Path, split: str, labelled: list[tuple[str, str]], class_names: tuple[str, ...]
) -> RawSplit:
    """The first image of each class, then the second of each, so that any number is balanced."""
    seen = dict.fromkeys(class_names, 0)
    ranked = []
    for name, label in labelled:
        ranked.append((seen[label], class_names.index(label), name))
        seen[label] += 1
    ranked.sort()
    names, labels = [name for _, _, name in ranked], [label for _, label, _ in ranked]
    return _collected(path, split, names, np.array(labels, np.int64), class_names)


def _collected(
    path: Path,
    split: str,
    names: list[str],
    labels: np.ndarray | None,
    class_names: tuple[str, ...],
) -> RawSplit:
    if not names:
        raise DatasetError(f"{path}: no image for the split {split!r}")

    remarks: Counter[str] = Counter()

    def pictures(count: int) -> Iterator[tuple[int, Image.Image]]:
        position = {name: index for index, name in enumerate(names[:count])}
        for name, content in read_images(path, position):
            try:
                yield position[name], decode(content, remarks)
            except PictureError as error:
                raise DatasetError(f"{path}: {name} is not a readable image: {error}") from error

    return RawSplit(np.array(names), labels, class_names, pictures, remarks=remarks)
