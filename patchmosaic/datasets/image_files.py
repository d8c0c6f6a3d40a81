"""Collections of image files: a folder, or a tar or zip archive that is read in place.

Members are read one by one and never unpacked. A name that is absolute or holds "..", and a link
inside an archive, are refused all the same: an archive that holds one is not what it claims to be.
So are archives that inflate to far more than images do.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any, BinaryIO, cast

from patchmosaic.datasets.content import DatasetError

# What Pillow reads and tells by its content.
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".gif", ".tif"),
    *(".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".apng"),
)
# Hidden names aside: folders and files that systems keep beside pictures.
SYSTEM_NAMES = {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir"}
SYSTEM_NAMES |= {"#recycle", "$recycle.bin", "system volume information", "lost+found"}
OF_SYSTEMS = "hidden or of a system"

MOST_IMAGE_BYTES = 1 << 26  # of one image as stored: 64 MiB
MOST_EXPANSION = 100  # images hardly compress, their tar headers do
ALWAYS_ALLOWED_BYTES = 1 << 26  # that an archive may inflate to, however small it is

ARCHIVE_FAULTS = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    RuntimeError,
    OverflowError,
    MemoryError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
)
"""What Python's readers of archives raise at broken ones."""

Entry = tuple[str, Callable[[], bytes]]


@dataclass(frozen=True)
class Collection:
    """The images of a collection, and the files that are passed over.

    names: of the images, sorted, with "/" between folders. passed_over: numbers of other files by
    the ending of their names, those that systems keep as OF_SYSTEMS.
    """

    names: list[str]
    passed_over: dict[str, int]


def survey(path: Path) -> Collection:
    """What a collection holds, found without reading an image.

    Raises DatasetError for a collection that is missing, unreadable or without images, and for
    unsafe or repeated names.
    """
    names: list[str] = []
    others: Counter[str] = Counter()
    for name, _ in _all_entries(path):
        if (kind := _passed_as(name)) is None:
            names.append(name)
        else:
            others[kind] += 1
    return Collection(_checked(path, names, others), dict(sorted(others.items())))


def image_names(path: Path) -> list[str]:
    """The names of the images in a collection; see `survey`."""
    return survey(path).names


def read_images(path: Path, wanted: Container[str]) -> Iterator[tuple[str, bytes]]:
    """(name, encoded image) of the wanted images, in the order in which they are stored."""
    for name, read in _entries(path):
        if name in wanted:
            yield name, read()


def collection_digest(
    path: Path, known_name: Callable[[str], str] = lambda name: name
) -> tuple[str, int]:
    """(SHA-256, total bytes) of the images in a collection.

    The digest runs over the lines "<SHA-256 of the file>  <name>" sorted by name, so a folder and
    an archive of it agree. known_name: the name that counts of an image.
    """
    names, files, size = [], {}, 0
    for name, read in _entries(path):
        content, name = read(), known_name(name)
        names.append(name)
        files[name] = hashlib.sha256(content).hexdigest()
        size += len(content)
    lines = "".join(f"{files[name]}  {name}\n" for name in _checked(path, names))
    return hashlib.sha256(lines.encode()).hexdigest(), size


def collection_stamp(path: Path) -> str:
    """What changes when a collection does, found without reading an image: a SHA-256.

    It runs over name, size and time of change of every image in a folder, or over those of an
    archive itself; so it also changes where files are only touched. Raises DatasetError for a
    collection that is missing.
    """
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder")
    files = [path]
    if path.is_dir():
        with _named(path):
            files = [file for name, file in _folder_files(path) if _is_image(name)]
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        name = file.relative_to(path).as_posix()
        digest.update(f"{status.st_size} {status.st_mtime_ns} {name}\n".encode())
    return digest.hexdigest()


def _checked(
    path: Path, names: Iterable[str], others: Mapping[str, int] = MappingProxyType({})
) -> list[str]:
    names = sorted(names)
    if not names:
        there = ", ".join(f"{count} {kind}" for kind, count in others.items())
        raise DatasetError(
            f"{path}: no image in it{f', but {there}' if there else ''}; allowed: "
            f"{', '.join(IMAGE_SUFFIXES)}"
        )
    for first, second in pairwise(names):
        if first == second:
            raise DatasetError(f"{path}: it holds {first} twice")
    return names


def _entries(path: Path) -> Iterator[Entry]:
    """Names of the images, and how to read each."""
    for name, read in _all_entries(path):
        if _is_image(name):
            yield name, partial(_read, path, name, read)


def _all_entries(path: Path) -> Iterator[Entry]:
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder")
    if not path.is_dir() and not path.is_file():
        raise DatasetError(f"{path}: neither a folder nor a file")
    with _named(path):
        if path.is_dir():
            yield from _folder_entries(path.resolve())
        elif zipfile.is_zipfile(path):
            yield from _zip_entries(path)
        else:
            yield from _tar_entries(path)


@contextmanager
def _named(path: Path) -> Generator[None]:
    """Whatever a broken collection raises becomes a DatasetError that names it."""
    try:
        yield
    except DatasetError:
        raise
    except ARCHIVE_FAULTS as error:
        raise DatasetError(f"{path}: neither a folder nor a whole archive: {error}") from error


def _read(path: Path, name: str, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except DatasetError:
        raise
    except ARCHIVE_FAULTS as error:
        raise DatasetError(f"{path}: {name} cannot be read: {error}") from error


def _passed_as(name: str) -> str | None:
    """What kind of file is passed over; None for an image."""
    path = PurePosixPath(name)
    if any(part.startswith(".") or part.casefold() in SYSTEM_NAMES for part in path.parts):
        return OF_SYSTEMS
    ending = path.suffix.lower()
    return None if ending in IMAGE_SUFFIXES else ending or "without an ending"


def _is_image(name: str) -> bool:
    return _passed_as(name) is None


def _folder_files(root: Path) -> Iterator[tuple[str, Path]]:
    def refuse(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(root, onerror=refuse):
        for link in (Path(folder, name) for name in folders):
            name = link.relative_to(root).as_posix()
            if link.is_symlink() and _passed_as(name) != OF_SYSTEMS:
                raise DatasetError(
                    f"{root}: {name!r} is a link to a folder, which is not followed; put the "
                    "folder itself there"
                )
        for file in (Path(folder, name) for name in files):
            name = file.relative_to(root).as_posix()
            if _is_image(name):
                if not file.is_file():
                    raise DatasetError(f"{root}: {name!r} is a broken link or no regular file")
                _text_name(root, name)
            yield name, file


def _folder_entries(root: Path) -> Iterator[Entry]:
    for name, file in _folder_files(root):
        if _is_image(name):
            _check_size(root, name, file.stat().st_size)
        yield name, file.read_bytes


def _tar_entries(path: Path) -> Iterator[Entry]:
    with open_tar(path) as archive:
        for member in archive:
            name = _safe_name(path, member.name, link=not (member.isfile() or member.isdir()))
            if member.isfile():
                if _is_image(name):
                    _check_size(path, name, member.size)
                yield name, partial(_content, archive, member)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = archive.extractfile(member)
    assert content is not None  # for a regular file
    return content.read()


def _zip_entries(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        left = _most_bytes(path)
        for member in archive.infolist():
            mode = member.external_attr >> 16
            name = _safe_name(path, member.filename, link=stat.S_ISLNK(mode))
            if member.is_dir():
                continue
            if _is_image(name):
                _check_size(path, name, member.file_size)
                left -= member.file_size
                if left < 0:
                    raise DatasetError(_inflates_too_far(path))
            yield name, partial(archive.read, member)


class _Bounded:
    """A binary file that is not read beyond its first so many bytes.

    tarfile reads headers of the size that they claim, so that size must not be believed.
    """

    def __init__(self, file: BinaryIO, path: Path, most: int) -> None:
        self.file, self.path, self.most = file, path, most
        self.tell = file.tell

    def seek(self, position: int) -> int:
        self._check(position)
        return self.file.seek(position)

    def read(self, size: int) -> bytes:
        self._check(self.file.tell() + size)
        return self.file.read(size)

    def _check(self, position: int) -> None:
        if position > self.most:
            raise DatasetError(_inflates_too_far(self.path))


@contextmanager
def open_tar(path: Path) -> Generator[tarfile.TarFile]:
    """A tar archive, plain or compressed by gzip, bzip2 or xz, that is no decompression bomb.

    Raises DatasetError where it inflates to more than `MOST_EXPANSION` times its size.
    """
    with open(path, "rb") as file:
        begin = file.read(6)
    openers: dict[bytes, Callable[..., Any]] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": bz2.open,
        b"\xfd7zXZ\x00": lzma.open,
    }
    opener = next((opener for magic, opener in openers.items() if begin.startswith(magic)), open)
    with opener(path, "rb") as file:
        bounded = cast(IO[bytes], _Bounded(file, path, _most_bytes(path)))  # what tarfile asks of
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            yield archive


def _most_bytes(path: Path) -> int:
    return max(ALWAYS_ALLOWED_BYTES, MOST_EXPANSION * path.stat().st_size)


def _inflates_too_far(path: Path) -> str:
    return (
        f"{path}: it promises more than {_most_bytes(path)} bytes, {MOST_EXPANSION} times what it "
        "holds; it is refused as broken or as a decompression bomb"
    )


def _check_size(path: Path, name: str, size: int) -> None:
    if size > MOST_IMAGE_BYTES:
        raise DatasetError(f"{path}: {name} has {size} bytes, allowed: {MOST_IMAGE_BYTES} an image")


def _text_name(path: Path, name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"{path}: the name {name!r} is not UTF-8; rename the image") from None
    return name


def _safe_name(path: Path, name: str, *, link: bool) -> str:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or link:
        kind = "a link or device" if link else "a name that leads outside"
        raise DatasetError(f"{path}: the archive holds {kind}: {name!r}; it is refused")
    return _text_name(path, str(parts))
