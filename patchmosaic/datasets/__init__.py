"""Datasets: fetched from a table of verified sources, prepared, and kept with their record.

fetch("mnist", raw)                     # verified raw files and where they came from
images = prepare("mnist", raw, size=32) # (N, C, 32, 32) uint8, labels, ids, class names
save_images(path, images)               # .npz without pickle, same bytes every time
x_0 = to_float(load_images(path))       # (N, C, 32, 32) float32 in [-1, 1]
"""

from patchmosaic.datasets.content import DatasetError, RawFile
from patchmosaic.datasets.fetching import fetch
from patchmosaic.datasets.image_files import collection_stamp
from patchmosaic.datasets.images import (
    Images,
    load_images,
    save_images,
    to_float,
    to_float_array,
)
from patchmosaic.datasets.preparation import preparation_text, prepare
from patchmosaic.datasets.registry import REGISTRY, Dataset, find_dataset
from patchmosaic.datasets.sources import DebianPackage, LocalPath, NpmPackage, Source, Web

__all__ = [
    "REGISTRY",
    "Dataset",
    "DatasetError",
    "DebianPackage",
    "Images",
    "LocalPath",
    "NpmPackage",
    "RawFile",
    "Source",
    "Web",
    "collection_stamp",
    "fetch",
    "find_dataset",
    "load_images",
    "preparation_text",
    "prepare",
    "save_images",
    "to_float",
    "to_float_array",
]
