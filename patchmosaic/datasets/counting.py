"""How many images there are to train with, found without reading one."""

from __future__ import annotations

import tarfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from numpy.lib import format as npy

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.image_files import survey
from patchmosaic.datasets.layout import understand
from patchmosaic.datasets.registry import Dataset
from patchmosaic.system.arrays import read_arrays


@dataclass(frozen=True)
class TrainingImages:
    """total: of training images. rarest: of them in the rarest class, None without classes."""

    total: int
    rarest: int | None = None

    def half(self, first: int) -> TrainingImages:
        """Those of every other image, from ``first``, 0 or 1; rarest is at most so many."""
        total = (self.total + 1 - first) // 2
        return TrainingImages(total, None if self.rarest is None else min(self.rarest, total))


def count_training(dataset: Dataset, local: Path) -> TrainingImages | None:
    """The training images of a user's folder, archive or array; None where counting takes long.

    That is a compressed tar, of which all has to be inflated. Raises DatasetError where the images
    could not be prepared either.
    """
    if dataset.is_array:
        return _of_array(local)
    if local.is_file() and not zipfile.is_zipfile(local) and not _is_plain_tar(local):
        return None
    found = understand(local, survey(local).names).counts()
    if "train" not in found:
        raise DatasetError(f"{local}: no image to train with, but some for {', '.join(found)}")
    classes = found["train"]
    every = {name for counts in found.values() for name in counts}
    rarest = None if "" in classes else min(classes.get(name, 0) for name in every - {""})
    return TrainingImages(sum(classes.values()), rarest)


def _is_plain_tar(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:"):
            return True
    except (tarfile.TarError, OSError):
        return False


def _of_array(path: Path) -> TrainingImages:
    """From the header of the images, which are not read, and the labels."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
            version = npy.read_magic(file)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, _ = header(file)
            names = archive.namelist()
        labels = read_arrays(path, {"labels"})["labels"] if "labels.npy" in names else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}: no file of arrays with images: {error}") from None
    total = shape[0] if shape else 0
    if labels is None:
        return TrainingImages(total)
    counts = Counter(labels.ravel().tolist())
    return TrainingImages(total, min(counts.values(), default=0))
