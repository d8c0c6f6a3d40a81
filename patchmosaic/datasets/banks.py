"""Patch banks: which training images a machine compares with."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.images import Images
from patchmosaic.system.memory import require_memory


def choose_bank(images: Images, count: int | None, by_class: bool, flips: bool = False) -> Images:
    """The first ``count`` images (None: all), of each class where ``by_class``.

    The order of the training set is kept, and ``ids`` names the images. Without ``by_class`` the
    bank has no labels, so that machines see one pool. With ``flips`` each image is followed by its
    mirror image, :func:`with_flips`, for networks that were trained on both.

    Raises:
        DatasetError: if classes are asked for and the images have none, or none of one class, or
            there are fewer images than asked for.
    """
    labels = require_classes(images, "the bank") if by_class else None
    if labels is None:
        groups = [np.arange(len(images))]
    else:
        groups = [np.flatnonzero(labels == c) for c in range(len(images.class_names))]
    fewest = min(len(group) for group in groups)
    if count is not None and count > fewest:
        what = "images of the rarest class" if by_class else "training images"
        raise DatasetError(
            f"the bank asks for {count} images, but there are {fewest} {what}; bank.images, "
            f"calibration.bank_images and bank_images of variants may be at most {fewest}, or all"
        )
    chosen = np.sort(np.concatenate([group[:count] for group in groups]))
    bank = Images(
        images.images[chosen],
        None if labels is None else labels[chosen],
        images.ids[chosen],
        images.class_names,
        {"flips": False, **images.record, "prepared_sha256": images.digest},
    )
    bank = with_flips(bank) if flips else bank
    return replace(bank, record={**bank.record, "bank_images": len(bank)})


def with_flips(images: Images) -> Images:
    """Each image, then the same flipped left to right, with its label; 2 N of N.

    The ids of both are text, that of the second with " flipped" behind it, and the record's "flips"
    is true.
    """
    require_memory(2 * images.images.nbytes, f"{2 * len(images):,} images with their mirror images")
    pairs = np.stack([images.images, images.images[..., ::-1]], axis=1)  # (N, 2, C, size, size)
    names = [name for i in images.ids for name in (f"{i}", f"{i} flipped")]
    return Images(
        pairs.reshape(-1, *images.images.shape[1:]),
        None if images.labels is None else images.labels.repeat(2),
        np.array(names),
        images.class_names,
        {**images.record, "flips": True},
    )


def require_classes(images: Images, where: str) -> np.ndarray:
    """The labels of images of every class, which class-conditional networks need.

    Raises DatasetError, in which ``where`` says for whom, where there are no labels, or a class has
    no image, as one with test images alone.
    """
    if images.labels is None:
        raise DatasetError(f"{where}: a class-conditional network, and its images have no classes")
    counts = np.bincount(images.labels, minlength=len(images.class_names))
    if counts.min() == 0:
        empty = ", ".join(images.class_names[c] for c in np.flatnonzero(counts == 0))
        raise DatasetError(
            f"{where}: a class-conditional network, and there are no training images of {empty}"
        )
    return images.labels


def part_of_bank(bank: Images, count: int, by_class: bool) -> Images:
    """The first ``count`` images of a bank, of each class where ``by_class``, or all there are."""
    fewest = np.bincount(require_classes(bank, "the bank")).min() if by_class else len(bank)
    return choose_bank(bank, min(count, fewest), by_class)
