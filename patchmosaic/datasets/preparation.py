"""Raw files to prepared images: centre crop, resize, uint8."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image, ImageColor
from tqdm.auto import tqdm

from patchmosaic.datasets.alterations import ALTERATIONS, HALVES
from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.fetching import verified_record
from patchmosaic.datasets.images import Images
from patchmosaic.datasets.pictures import REMARKS
from patchmosaic.datasets.registry import find_dataset

SPLITS = ("train", "test")
MODES = {1: "L", 3: "RGB"}
WHITE = (255, 255, 255)


def prepare(
    dataset_id: str,
    directory: str | Path,
    *,
    size: int = 32,
    channels: int | None = None,
    split: str = "train",
    limit: int | None = None,
    background: str = "white",
    half: str | None = None,
    altered: str | None = None,
    progress: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Images:
    """Images (N, channels, size, size) uint8 of one split of a dataset that `fetch` left.

    The preparation is `prepared_picture`, stated in the record as `preparation_text` and the
    dataset's remark. For MNIST and Fashion-MNIST the crop does nothing and it is the paper's: 28 x
    28 resized to 32 x 32, bilinear. For CelebA the paper gives no more than the size.

    channels: 1 (grayscale) or 3 (RGB), by default the dataset's own, 3 for image_folder; an
    image_array has any number, and neither channels nor size are changed. limit: the first
    so many images; with class folders the order takes one image of each class in turn.
    background: the colour on which transparent pixels are composited, by name or as #rrggbb.
    half: "even" or "odd", of the places of the images from 0; the other half is left out.
    altered: a name of ALTERATIONS, of what is then done to the prepared images. say: is called with
    each line that tells what was understood of a collection of image files: its layout before an
    image is read, the pictures after; both are in the record.

    Raises DatasetError for values that are not allowed and missing, altered or broken raw files.
    """
    dataset, directory = find_dataset(dataset_id), Path(directory)
    channels = dataset.channels if channels is None else channels
    if not dataset.takes(channels):
        raise DatasetError(f"channels is {channels!r}, allowed: 1 (grayscale), 3 (RGB)")
    if split not in SPLITS:
        raise DatasetError(f"split is {split!r}, allowed: {', '.join(SPLITS)}")
    for name, value in (("size", size), ("limit", limit)):
        if value is not None and (type(value) is not int or value < 1):
            raise DatasetError(f"{name} is {value!r}, expected a whole number of at least 1")
    if half is not None and half not in HALVES:
        raise DatasetError(f"half is {half!r}, allowed: {', '.join(HALVES)}")
    if altered is not None and altered not in ALTERATIONS:
        raise DatasetError(f"altered is {altered!r}, allowed: {', '.join(ALTERATIONS)}")
    colour = background_colour(background)
    provenance = verified_record(dataset, directory)
    raw = dataset.reader(directory, split)
    for line in layout_lines(raw.understood):
        say(f"{dataset_id}: {line}")
    count = len(raw.ids) if limit is None else min(limit, len(raw.ids))
    about_pictures: dict[str, Any] = {}
    if raw.pixels is None:
        pixels = np.empty((count, channels, size, size), np.uint8)
        sides: list[int] = []
        pictures = tqdm(
            raw.pictures(count),
            total=count,
            desc=f"{dataset_id} {split}",
            unit="image",
            disable=None if progress else True,
        )
        for position, picture in pictures:
            sides.append(min(picture.size))
            prepared = np.asarray(prepared_picture(picture, size, channels, colour))
            pixels[position] = prepared.reshape(size, size, channels).transpose(2, 0, 1)
        about_pictures = _about_pictures(sides, size, raw.remarks, background)
        if raw.understood:
            for line in picture_lines(about_pictures, size):
                say(f"{dataset_id}: {line}")
        preparation = preparation_text(size, channels, background)
    else:
        pixels = _as_they_are(raw.pixels[:count], dataset_id, channels, size)
        preparation = "pixels as they are"
    alteration, part = "", ""
    if altered is not None:
        alter, alteration = ALTERATIONS[altered]
        pixels = alter(pixels)
    chosen = slice(0, count)
    if half is not None:
        chosen, part = slice(HALVES[half], count, 2), f"every other image, the {half} ones from 0"
    images = Images(
        pixels[chosen],
        None if raw.labels is None else raw.labels[chosen],
        raw.ids[chosen],
        raw.class_names,
    )
    return replace(
        images,
        record={
            "dataset": dataset_id,
            "split": split,
            "size": size,
            "channels": channels,
            "count": len(images),
            "licence": dataset.licence,
            "preparation": "; ".join(filter(None, (preparation, dataset.remark, part, alteration))),
            **({"understood": raw.understood} if raw.understood else {}),
            **({"pictures": about_pictures} if raw.understood and about_pictures else {}),
            "pillow": PIL.__version__,
            "sources": provenance["files"],
        },
    )


def background_colour(background: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour by name or as #rrggbb; raises DatasetError for others."""
    try:
        return ImageColor.getrgb(background)[:3]
    except (ValueError, AttributeError):
        raise DatasetError(
            f"background is {background!r}: use the name of a colour, as white, or #rrggbb"
        ) from None


def prepared_picture(
    picture: Image.Image, size: int, channels: int, background: tuple[int, int, int] = WHITE
) -> Image.Image:
    """A picture as `preparation_text` says: size x size, 8 bits, 1 or 3 channels."""
    if picture.has_transparency_data:
        below = Image.new("RGBA", picture.size, (*background, 255))
        picture = Image.alpha_composite(below, picture.convert("RGBA")).convert("RGB")
    picture = picture.convert(MODES[channels])
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BILINEAR)


def preparation_text(size: int, channels: int, background: str = "white") -> str:
    """What `prepare` does to every image, in words, for records and reports."""
    colour = "grayscale (ITU-R 601-2 luma)" if channels == 1 else "RGB"
    return (
        "turned upright by its EXIF tag and taken to sRGB by its colour profile where it has one, "
        f"transparent pixels composited on {background}, converted to {colour}, centre crop to a "
        f"square of the shorter side, resized to {size} x {size} by Pillow's bilinear filter "
        "(antialiased when shrinking), rounded to uint8"
    )


def layout_lines(understood: Mapping[str, Any]) -> Iterator[str]:
    """What was understood of the folders of a collection, in words, from an images' record."""
    if understood:
        yield str(understood["layout"])
    if passed_over := understood.get("passed_over"):
        yield "passed over: " + ", ".join(f"{n} files {kind}" for kind, n in passed_over.items())


def _as_they_are(pixels: np.ndarray, dataset_id: str, channels: int, size: int) -> np.ndarray:
    for key, found, wanted in (
        ("channels", pixels.shape[1], channels),
        ("size", pixels.shape[2], size),
    ):
        if found != wanted:
            raise DatasetError(
                f"{dataset_id}: its images have {key} {found}, and {key} of the dataset is "
                f"{wanted}: set it to {found}, for an array's images are taken as they are"
            )
    return np.ascontiguousarray(pixels)


def _about_pictures(
    sides: list[int], size: int, remarks: Mapping[str, int], background: str
) -> dict[str, Any]:
    """What is recorded of the pictures that were prepared: their sides, and REMARKS counted."""
    shortest = {
        "smallest": min(sides),
        "median": int(np.median(sides)),
        "largest": max(sides),
        "enlarged": sum(side < size for side in sides),
    }
    return {
        "shortest_side": shortest,
        "background": background,
        **{kind: remarks[kind] for kind in REMARKS if remarks.get(kind)},
    }


def picture_lines(about: Mapping[str, Any], size: int) -> Iterator[str]:
    """What the pictures of a collection were like, in words, from the "pictures" of a record."""
    shortest = about["shortest_side"]
    yield (
        f"shorter sides of {shortest['smallest']} to {shortest['largest']} pixels, median "
        f"{shortest['median']}"
    )
    if shortest["enlarged"]:
        yield f"{shortest['enlarged']} images are smaller than {size} pixels and were enlarged"
    for kind in REMARKS:
        if not (count := about.get(kind)):
            continue
        on = f", composited on {about['background']}" if kind == "transparent" else ""
        yield f"{count} images {REMARKS[kind]}{on}"
