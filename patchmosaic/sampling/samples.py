"""Noise seeds and samples on disk: npz without pickle, with a record and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from patchmosaic.system.arrays import ArrayError, read_arrays
from patchmosaic.system.files import written_whole


class SamplesError(ValueError):
    """A file of samples that is missing, altered, or does not go with the others."""


@dataclass(frozen=True, eq=False, repr=False)
class Samples:
    """Images that belong to seeds: the noise itself, or what a machine or network made of it.

    Args:
        images: float32 (n, C, H, W).
        seeds: int64 (n,).
        labels: int64 (n,), or None.
        record: how the images were made (JSON-able).
    """

    images: np.ndarray
    seeds: np.ndarray
    labels: np.ndarray | None
    record: dict

    def __repr__(self) -> str:
        labels = "" if self.labels is None else ", with labels"
        return (
            f"Samples({len(self.images)} of {self.images.shape[1:]}, {self.images.dtype}, "
            f"seeds {self.seeds.min()} to {self.seeds.max()}{labels})"
        )

    @property
    def digest(self) -> str:
        """SHA-256 over shapes, dtypes and bytes of images, seeds and labels."""
        digest = hashlib.sha256()
        for array in (self.images, self.seeds, self.labels):
            if array is not None:
                digest.update(f"{array.shape} {array.dtype.str} ".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def part(self, first: int, last: int) -> Samples:
        """The images, seeds and labels from ``first`` up to, not including, ``last``."""
        labels = None if self.labels is None else self.labels[first:last]
        return Samples(self.images[first:last], self.seeds[first:last], labels, self.record)

    def of_seeds(self, seeds: ArrayLike) -> Samples:
        """The images and labels of these seeds, each of which must be there, in this order."""
        place = {int(seed): i for i, seed in enumerate(self.seeds)}
        chosen = [place[int(seed)] for seed in np.asarray(seeds)]
        labels = None if self.labels is None else self.labels[chosen]
        return Samples(self.images[chosen], self.seeds[chosen], labels, self.record)


def save_samples(path: Path, samples: Samples) -> None:
    """Write samples, whole or not at all; values must be finite."""
    _check(path, samples)
    record = json.dumps({**samples.record, "sha256": samples.digest}, sort_keys=True)
    arrays = {"images": samples.images, "seeds": samples.seeds, "record": np.array(record)}
    if samples.labels is not None:
        arrays["labels"] = samples.labels
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_samples(path: Path) -> Samples:
    """Samples that :func:`save_samples` wrote; raises SamplesError naming an altered file."""
    try:
        arrays = read_arrays(path)
        record = json.loads(str(arrays["record"]))
        samples = Samples(arrays["images"], arrays["seeds"], arrays.get("labels"), record)
        expected = record["sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = error.reason if isinstance(error, ArrayError) else error
        raise SamplesError(f"{path}: not a file of samples: {reason}") from error
    if samples.digest != expected:
        raise SamplesError(f"{path}: expected SHA-256 {expected}, found {samples.digest}")
    _check(path, samples)
    return samples


def _check(path: Path, samples: Samples) -> None:
    """Raise SamplesError unless the samples are finite float32 images, one for each seed."""
    images, seeds, labels = samples.images, samples.seeds, samples.labels
    if images.dtype != np.float32 or images.ndim != 4:
        raise SamplesError(
            f"{path}: images are {images.dtype} of shape {images.shape}, "
            "expected float32 (n, C, H, W)"
        )
    for name, array in (("seeds", seeds), ("labels", labels)):
        if array is not None and (array.dtype != np.int64 or array.shape != images.shape[:1]):
            raise SamplesError(
                f"{path}: {name} are {array.dtype} of shape {array.shape}, "
                f"expected int64 ({len(images)},)"
            )
    if not np.isfinite(images).all():
        bad = seeds[~np.isfinite(images).all(axis=(1, 2, 3))]
        raise SamplesError(f"{path}: NaN or infinite pixels for seeds {bad.tolist()}")


_REMOVE = "remove those that are not of this run, and they are made again"


def require_same_noise(samples: Mapping[str, Samples]) -> None:
    """Raise SamplesError unless all of these, by name, are of the same seeds, noise and labels.

    The noise is known by the digest in the records of samples of machines and networks; labels are
    compared between those that have them, as an unconditional network has none.
    """
    (first, reference), *others = samples.items()
    labelled = {name: s.labels for name, s in samples.items() if s.labels is not None}
    for name, other in others:
        if not np.array_equal(other.seeds, reference.seeds):
            raise SamplesError(f"{first} and {name} differ in their seeds")
        if other.record.get("noise_sha256") != reference.record.get("noise_sha256"):
            raise SamplesError(
                f"{first} and {name} have the same seeds, but are of different noise; {_REMOVE}"
            )
    for name, labels in labelled.items():
        if not np.array_equal(labels, next(iter(labelled.values()))):
            raise SamplesError(f"{next(iter(labelled))} and {name} differ in their labels")


def join_shards(paths: list[Path]) -> Samples:
    """Shards joined in the order of ``paths``; of one file of noise, their seeds all different.

    The record is the first one's, with the ``engines``, of each image, and the ``audits`` of those
    shards that the adaptive engine made: where another sampled again, what was audited is gone.
    """
    shards = [load_samples(path) for path in paths]
    if len({shard.record.get("noise_sha256") for shard in shards}) > 1:
        raise SamplesError(f"{', '.join(map(str, paths))}: of different noise; {_REMOVE}")
    seeds = np.concatenate([shard.seeds for shard in shards])
    if len(np.unique(seeds)) != len(seeds):
        raise SamplesError(f"{', '.join(map(str, paths))}: some seeds occur twice")
    labelled = [shard.labels for shard in shards if shard.labels is not None]
    if labelled and len(labelled) < len(shards):
        raise SamplesError(f"{', '.join(map(str, paths))}: only some have labels; {_REMOVE}")
    labels = np.concatenate(labelled) if labelled else None
    images = np.concatenate([shard.images for shard in shards])
    engines = [shard.record.get("engine") for shard in shards for _ in shard.seeds]
    audits = [s.record.get("audit") for s in shards if s.record.get("engine") == "adaptive"]
    record = shards[0].record | {"engines": engines, "audits": audits}
    return Samples(images, seeds, labels, record)
