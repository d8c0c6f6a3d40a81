"""Raw files to pictures: IDX (MNIST), the CIFAR-10 binary archive, collections of image files."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.image_files import ARCHIVE_FAULTS, image_names, open_tar, read_images

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
CIFAR10_MEMBER_RECORDS = 10000
CELEBA_SPLITS = {"train": (1, 162770), "test": (182638, 202599)}
COLLECTION_LINK = "images"
EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")


@dataclass(frozen=True)
class RawSplit:
    """One split of a dataset before preparation.

    ids: (N,) int64 positions or names. labels: (N,) int64 or None. pictures(n) yields
    (position, picture) for the first n images, in any order.
    """

    ids: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...]
    pictures: Callable[[int], Iterator[tuple[int, Image.Image]]]


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
    """CIFAR-10 from its binary archive, read in place.

    A record is one label byte, then 32 x 32 red, green and blue bytes, row by row.
    """
    path = directory / "cifar-10-binary.tar.gz"
    members = {
        "train": [f"data_batch_{batch}.bin" for batch in range(1, 6)],
        "test": ["test_batch.bin"],
    }[split]
    wanted = {f"cifar-10-batches-bin/{member}": member for member in members}
    found: dict[str, bytes] = {}
    most = CIFAR10_MEMBER_RECORDS * CIFAR10_RECORD_BYTES
    try:
        with open_tar(path) as archive:
            for entry in archive:
                if entry.name in wanted and entry.isfile():
                    if entry.size > most:
                        raise DatasetError(
                            f"{path}: {wanted[entry.name]} has {entry.size} bytes, allowed: {most}"
                        )
                    found[wanted[entry.name]] = archive.extractfile(entry).read()
    except DatasetError:
        raise
    except ARCHIVE_FAULTS as error:
        raise DatasetError(f"{path}: not a whole archive: {error}") from error
    for member in members:
        size = len(found.get(member, b""))
        if size == 0 or size % CIFAR10_RECORD_BYTES:
            raise DatasetError(
                f"{path}: {member} holds {size} bytes, "
                f"expected whole records of {CIFAR10_RECORD_BYTES}"
            )
    content = b"".join(found[member] for member in members)
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR10_RECORD_BYTES)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return _from_arrays(images, records[:, 0], CIFAR10_CLASSES, path)


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
    chosen = []
    for name in image_names(path):
        stem = PurePosixPath(name).stem
        if not re.fullmatch(r"[0-9]{6}", stem):
            raise DatasetError(
                f"{path}: {name} is not named by six digits as CelebA's images are; "
                "for other images use the dataset image_folder"
            )
        if first <= int(stem) <= last:
            chosen.append(name)
    return _collected(path, split, chosen, None, ())


def read_image_folder(directory: Path, split: str) -> RawSplit:
    """Anybody's images: [train/ or test/][class/]name.

    Where every image lies under train/ or test/, those are the splits, and otherwise all images are
    the train split. Folders below that are the classes, numbered in alphabetical order over both
    splits; images beside class folders are refused, for they have no label.
    """
    path = _collection(directory)
    parts = {name: PurePosixPath(name).parts for name in image_names(path)}
    if all(part[0] in ("train", "test") and len(part) > 1 for part in parts.values()):
        chosen = [name for name, part in parts.items() if part[0] == split]
        below = {name: part[1:] for name, part in parts.items()}
    else:
        chosen = list(parts) if split == "train" else []
        below = parts
    unlabelled = [name for name in parts if len(below[name]) == 1]
    if len(unlabelled) == len(parts):
        return _collected(path, split, chosen, None, ())
    if unlabelled:
        raise DatasetError(
            f"{path}: {unlabelled[0]} lies beside class folders and has no label; "
            "put all images in class folders, or none"
        )
    class_names = tuple(sorted({part[0] for part in below.values()}))
    return _labelled(path, split, [(name, below[name][0]) for name in chosen], class_names)


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

    def pictures(count: int) -> Iterator[tuple[int, Image.Image]]:
        position = {name: index for index, name in enumerate(names[:count])}
        for name, content in read_images(path, position):
            yield position[name], _decoded(content, path, name)

    return RawSplit(np.array(names), labels, class_names, pictures)


def _decoded(content: bytes, path: Path, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
            picture.load()
            upright = ImageOps.exif_transpose(picture)
    except UnidentifiedImageError:
        raise DatasetError(f"{path}: {name} is not a readable image: no PNG or JPEG") from None
    except Exception as error:  # Pillow lets through whatever its parsers of broken files raise
        raise DatasetError(f"{path}: {name} is not a readable image: {error}") from error
    if picture.mode not in EIGHT_BIT_MODES:
        raise DatasetError(
            f"{path}: {name} has pixels of mode {picture.mode}, expected 8 bits a channel"
        )
    return upright
