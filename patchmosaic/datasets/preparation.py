"""Raw files to prepared images: centre crop, resize, uint8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from tqdm import tqdm

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.fetching import verified_record
from patchmosaic.datasets.images import CHANNELS, Images
from patchmosaic.datasets.registry import find_dataset

SPLITS = ("train", "test")
MODES = {1: "L", 3: "RGB"}


def prepare(
    dataset_id: str,
    directory: str | Path,
    *,
    size: int = 32,
    channels: int | None = None,
    split: str = "train",
    limit: int | None = None,
    progress: bool = True,
) -> Images:
    """Images (N, channels, size, size) uint8 of one split of a dataset that `fetch` left.

    The preparation is `prepared_picture`, stated in the record as `preparation_text` and the
    dataset's remark. For MNIST and Fashion-MNIST the crop does nothing and it is the paper's: 28 x
    28 resized to 32 x 32, bilinear. For CelebA the paper gives no more than the size.

    channels: 1 (grayscale) or 3 (RGB), by default the dataset's own, 3 for image_folder. limit: the
    first so many images; with class folders the order takes one image of each class in turn.
    Raises DatasetError for values that are not allowed and missing, altered or broken raw files.
    """
    dataset, directory = find_dataset(dataset_id), Path(directory)
    channels = dataset.channels if channels is None else channels
    if channels not in CHANNELS:
        raise DatasetError(f"channels is {channels!r}, allowed: 1 (grayscale), 3 (RGB)")
    if split not in SPLITS:
        raise DatasetError(f"split is {split!r}, allowed: {', '.join(SPLITS)}")
    for name, value in (("size", size), ("limit", limit)):
        if value is not None and (type(value) is not int or value < 1):
            raise DatasetError(f"{name} is {value!r}, expected a whole number of at least 1")
    provenance = verified_record(dataset, directory)
    raw = dataset.reader(directory, split)
    count = len(raw.ids) if limit is None else min(limit, len(raw.ids))
    pixels = np.empty((count, channels, size, size), np.uint8)
    pictures = tqdm(
        raw.pictures(count),
        total=count,
        desc=f"{dataset_id} {split}",
        unit="image",
        disable=None if progress else True,
    )
    for position, picture in pictures:
        prepared = np.asarray(prepared_picture(picture, size, channels))
        pixels[position] = prepared.reshape(size, size, channels).transpose(2, 0, 1)
    images = Images(
        pixels,
        None if raw.labels is None else raw.labels[:count],
        raw.ids[:count],
        raw.class_names,
    )
    return replace(
        images,
        record={
            "dataset": dataset_id,
            "split": split,
            "size": size,
            "channels": channels,
            "count": count,
            "preparation": "; ".join(
                filter(None, (preparation_text(size, channels), dataset.remark))
            ),
            "pillow": PIL.__version__,
            "sources": provenance["files"],
        },
    )


def prepared_picture(picture: Image.Image, size: int, channels: int) -> Image.Image:
    """A picture as `preparation_text` says: size x size, 8 bits, 1 or 3 channels."""
    picture = picture.convert(MODES[channels])
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BILINEAR)


def preparation_text(size: int, channels: int) -> str:
    """What `prepare` does to every image, in words, for records and reports."""
    colour = "grayscale (ITU-R 601-2 luma)" if channels == 1 else "RGB (transparency dropped)"
    return (
        f"turned upright by its EXIF tag where it has one, converted to {colour}, centre crop to a "
        f"square of the shorter side, resized to {size} x {size} by Pillow's bilinear filter "
        "(antialiased when shrinking), rounded to uint8"
    )
