"""What the folders of somebody's images mean: splits, classes, one folder around everything.

A layout that can be read in more than one way is refused, with what would make it plain.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from patchmosaic.datasets.content import DatasetError

SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
_SPLIT_OF = {
    f"{word}{ending}": split
    for split, words in SPLIT_WORDS.items()
    for word in words
    for ending in ("", "set", "data", "images", "imgs")
}
NOT_PICTURES = re.compile(
    r"(mask|label|annotation|segmentation|groundtruth|gt|depth|thumb|thumbnail|preview)s?",
    re.IGNORECASE,
)
"""Folders beside the pictures that hold something made of them."""


@dataclass(frozen=True)
class Layout:
    """What was understood of a collection.

    splits: of each image its split, by name. classes: of each image its class folder, "" for none.
    around: the folders that hold everything and mean nothing.
    """

    splits: dict[str, str]
    classes: dict[str, str]
    around: tuple[str, ...] = field(default=())

    def names(self, split: str) -> list[str]:
        """The images of a split, in the order of their names."""
        return [name for name, found in self.splits.items() if found == split]

    def class_names(self) -> tuple[str, ...]:
        """All class folders, over all splits, in alphabetical order."""
        return tuple(sorted(set(self.classes.values()) - {""}))

    def counts(self) -> dict[str, dict[str, int]]:
        """Images of each class, "" for those without one, in each split that there is."""
        found: dict[str, Counter] = {}
        for name, split in self.splits.items():
            found.setdefault(split, Counter())[self.classes[name]] += 1
        order = [split for split in SPLIT_WORDS if split in found]
        return {split: dict(sorted(found[split].items())) for split in order}

    def text(self) -> str:
        """One line: the images of each split, the classes, the folders around."""
        parts = [f"{sum(c.values()):,} images in {split}" for split, c in self.counts().items()]
        if not set(self.splits.values()) - {"train"}:
            parts = [f"{len(self.splits):,} images, all for training"]
        names = self.class_names()
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        parts.append(f"{len(names)} classes ({shown})" if names else "no classes")
        if self.around:
            parts.append(f"below {'/'.join(self.around)}/")
        return ", ".join(parts)


def split_of(folder: str) -> str | None:
    """The split that a folder's name tells of, as "Train", "val2017" or "seg_test" do, else None.

    A name that tells of two, as "train_test", tells of none.
    """
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder)
    found = {_SPLIT_OF[word.casefold()] for word in words if word.casefold() in _SPLIT_OF}
    return found.pop() if len(found) == 1 else None


def is_plain_split(folder: str) -> bool:
    """Whether a folder's name is that of a split and nothing else."""
    return re.sub(r"[^a-z]", "", folder.casefold()) in _SPLIT_OF


def understand(path: Path, names: Sequence[str]) -> Layout:
    """The layout of a collection at `path` from the names of its images; see `Layout`.

    Raises DatasetError where split folders lie beside others, at different depths or within each
    other, where images lie beside class folders, and where folders hold masks or the like.
    """
    folders = {name: PurePosixPath(name).parts[:-1] for name in names}
    level = _split_level(path, folders)
    if level is None:
        splits = dict.fromkeys(folders, "train")
    else:
        splits = {n: split for n, parts in folders.items() if (split := split_of(parts[level]))}
        folders = _without_splits(path, folders, splits, level)
    around: list[str] = []
    while len(first := {parts[:1] for parts in folders.values()}) == 1 and (only := first.pop()):
        around += only
        folders = {name: parts[1:] for name, parts in folders.items()}
    for folder in sorted({part for parts in folders.values() for part in parts}):
        if NOT_PICTURES.fullmatch(folder):
            raise DatasetError(
                f"{path}: the folder {folder} does not look like one of pictures; name the folder "
                "of the pictures alone as local, or rename it"
            )
    classes = {name: parts[0] if parts else "" for name, parts in folders.items()}
    _check_classes(path, splits, classes)
    return Layout(splits, classes, tuple(around))


def _split_level(path: Path, folders: dict[str, tuple[str, ...]]) -> int | None:
    """The depth at which every image lies in a split folder, None where there are none."""
    depth = min(len(parts) for parts in folders.values())
    for level in range(depth):
        here = {parts[level] for parts in folders.values()}
        found = Counter(split_of(folder) for folder in here)
        if None in found:
            continue
        for split, count in found.items():
            if count > 1:
                same = sorted(folder for folder in here if split_of(folder) == split)
                raise DatasetError(
                    f"{path}: {' and '.join(same)} are both {split}; name the folder of one of "
                    "them, or join them"
                )
        if set(found) == {"train"} or len(found) > 1:
            return level
        (only,) = here
        raise DatasetError(
            f"{path}: all images lie in {only}, so there is none to train with; if they are the "
            "training images, name that folder itself as local"
        )
    _refuse_half_split(path, folders)
    return None


def _refuse_half_split(path: Path, folders: dict[str, tuple[str, ...]]) -> None:
    """Raise where some images lie in split folders and others do not, or not at the same depth.

    A single name such as "bullet_train" among others is a class.
    """
    told = {name: [p for p in parts if split_of(p)] for name, parts in folders.items()}
    found = {p for parts in told.values() for p in parts}
    if not any(map(is_plain_split, found)) and len(set(map(split_of, found))) < 2:
        return
    name = next(name for name in told if told[name])
    without = next((other for other in told if not told[other]), None)
    others = f"{without} in none" if without else "others at another depth"
    raise DatasetError(
        f"{path}: {name} lies in the split folder {told[name][0]}, and {others}; put all images in "
        "train, validation and test folders, or none, and rename a class of such a name"
    )


def _without_splits(
    path: Path, folders: dict[str, tuple[str, ...]], splits: dict[str, str], level: int
) -> dict[str, tuple[str, ...]]:
    """The folders left when those of the split are taken out, repeated ones ("train/train") too."""
    left = {name: parts[:level] + parts[level + 1 :] for name, parts in folders.items()}
    while all(
        len(parts) > level and split_of(parts[level]) == splits[name]
        for name, parts in left.items()
    ):
        left = {name: parts[:level] + parts[level + 1 :] for name, parts in left.items()}
    for name, parts in left.items():
        if any(map(is_plain_split, parts)):
            raise DatasetError(f"{path}: {name} lies in two split folders; leave it in one")
    return left


def _check_classes(path: Path, splits: dict[str, str], classes: dict[str, str]) -> None:
    """Raise unless each split has class folders for all of its images or for none."""
    labelled = {splits[name] for name, label in classes.items() if label}
    for name, label in classes.items():
        if not label and splits[name] in labelled:
            raise DatasetError(
                f"{path}: {name} lies beside class folders and has no label; "
                "put all images in class folders, or none"
            )
    by_folded: dict[str, str] = {}
    for label in sorted(set(classes.values())):
        if (other := by_folded.setdefault(label.casefold(), label)) != label:
            raise DatasetError(
                f"{path}: the class folders {other} and {label} differ in case alone; give one "
                "class one name"
            )
