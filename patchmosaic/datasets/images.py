"""Prepared images: the form that banks and networks are built from, on disk and in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from patchmosaic.datasets.content import DatasetError
from patchmosaic.system.arrays import ArrayError, read_arrays
from patchmosaic.system.files import written_whole
from patchmosaic.system.memory import require_memory

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Prepared images with what is known of them.

    images: (N, C, size, size) uint8, values 0 to 255. labels: (N,) int64 or None. ids:
    (N,) int64 positions in the raw split, or file names. class_names: the name of each label, ()
    without labels. record: where they come from and how they were prepared.

    Raises DatasetError where shapes, types or values are other than that.
    """

    images: np.ndarray
    labels: np.ndarray | None
    ids: np.ndarray
    class_names: tuple[str, ...] = ()
    record: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape, dtype = self.images.shape, self.images.dtype
        if dtype.kind == "f" and not np.isfinite(self.images).all():
            raise DatasetError("images hold NaN or infinite values; expected uint8")
        if dtype != np.uint8:
            raise DatasetError(f"images are {dtype}, expected uint8 with values 0 to 255")
        if len(shape) != 4 or 0 in shape or shape[2] != shape[3]:
            raise DatasetError(f"images have shape {shape}, expected (N, C, size, size)")
        if self.ids.shape != shape[:1] or self.ids.dtype.kind not in "iU":
            raise DatasetError(
                f"ids are {self.ids.dtype} of shape {self.ids.shape}, "
                f"expected int64 or text of shape {shape[:1]}"
            )
        if self.labels is None:
            return
        if self.labels.shape != shape[:1] or self.labels.dtype != np.int64:
            raise DatasetError(
                f"labels are {self.labels.dtype} of shape {self.labels.shape}, "
                f"expected int64 of shape {shape[:1]}"
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.class_names):
            raise DatasetError(
                f"labels run from {self.labels.min()} to {self.labels.max()}, "
                f"allowed: 0 to {len(self.class_names) - 1}, one for each class name"
            )

    def __repr__(self) -> str:
        classes = f", {len(self.class_names)} classes" if self.class_names else ""
        return f"Images({len(self)} of {self.images.shape[1:]}, {self.images.dtype}{classes})"

    def __len__(self) -> int:
        return len(self.images)

    @property
    def digest(self) -> str:
        """SHA-256 over shape, dtype and bytes of images, then of labels where there are any."""
        digest = hashlib.sha256()
        for array in (self.images, self.labels):
            if array is not None:
                digest.update(f"{array.shape} {array.dtype.str} ".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def to_float(images: Images | np.ndarray) -> torch.Tensor:
    """Pixels as :func:`to_float_array` gives them, as a tensor."""
    import torch  # here, because most of what loads images does without and starts much sooner

    return torch.from_numpy(to_float_array(images))


def to_float_array(images: Images | np.ndarray) -> np.ndarray:
    """Pixels as float32 in [-1, 1], x / 127.5 - 1: (N, C, H, W) from uint8 of that shape.

    The one place where scaling is defined (images are in [-1, 1] as in the paper's diffusion).
    """
    pixels = images.images if isinstance(images, Images) else images
    if pixels.dtype != np.uint8:
        raise DatasetError(f"pixels are {pixels.dtype}, expected uint8 with values 0 to 255")
    require_memory(4 * pixels.size, f"{len(pixels):,} images as float32")
    scaled = pixels.astype(np.float32)
    scaled /= 127.5
    scaled -= 1
    return scaled


def save_images(
    path: str | Path, images: Images, record: Mapping[str, object] | None = None
) -> None:
    """Write images to an uncompressed .npz file: whole or not at all, the same bytes every time.

    The file holds images, labels (if any), ids, and as JSON text the record: `images.record`, then
    the entries of `record`, then class_names and `sha256`, the digest of the content.
    """
    text = json.dumps(
        {
            **images.record,
            **(record or {}),
            "class_names": list(images.class_names),
            "sha256": images.digest,
        },
        sort_keys=True,
        allow_nan=False,
    )
    arrays = {"images": images.images, "ids": images.ids, "record": np.array(text)}
    if images.labels is not None:
        arrays["labels"] = images.labels
    with written_whole(Path(path)) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def load_images(path: str | Path) -> Images:
    """Images that `save_images` wrote, with their record.

    Raises DatasetError naming the file when it is not there, is no such file, or holds content with
    another digest than its record says (expected and found are given).
    """
    path = Path(path)
    try:
        arrays = read_arrays(path)
        record = json.loads(str(arrays["record"]))
        images = Images(
            arrays["images"],
            arrays.get("labels"),
            arrays["ids"],
            tuple(record["class_names"]),
            record,
        )
        expected = record["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = error.reason if isinstance(error, ArrayError) else error
        raise DatasetError(f"{path}: not a file of prepared images: {reason}") from error
    if images.digest != expected:
        raise DatasetError(f"{path}: expected content SHA-256 {expected}, found {images.digest}")
    return images
