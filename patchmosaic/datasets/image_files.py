"""Collections of PNG and JPEG images: a folder, or a tar or zip archive that is read in place.

Members are read one by one and never unpacked. A name that is absolute or holds "..", and a link
inside an archive, are refused all the same: an archive that holds one is not what it claims to be.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path, PurePosixPath

from patchmosaic.datasets.content import DatasetError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")

Entry = tuple[str, Callable[[], bytes]]


def image_names(path: Path) -> list[str]:
    """Sorted names, with "/" between folders, of the images in a collection.

    Hidden files are passed over. Raises DatasetError for a collection that is missing, unreadable
    or without images, and for unsafe or repeated names.
    """
    return _checked(path, (name for name, _ in _entries(path)))


def read_images(path: Path, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """(name, encoded image) of the wanted images, in the order in which they are stored."""
    for name, read in _entries(path):
        if name in wanted:
            yield name, read()


def collection_digest(path: Path) -> tuple[str, int]:
    """(SHA-256, total bytes) of the images in a collection.

    The digest runs over the lines "<SHA-256 of the file>  <name>" sorted by name, so a folder and
    an archive of it agree.
    """
    names, files, size = [], {}, 0
    for name, read in _entries(path):
        content = read()
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
        files = [file for name, file in _folder_files(path) if _is_image(name)]
    digest = hashlib.sha256()
    for file in sorted(files):
        status = file.stat()
        name = file.relative_to(path).as_posix()
        digest.update(f"{status.st_size} {status.st_mtime_ns} {name}\n".encode())
    return digest.hexdigest()


def _checked(path: Path, names: Iterable[str]) -> list[str]:
    names = sorted(names)
    if not names:
        raise DatasetError(f"{path}: no image in it; allowed: {', '.join(IMAGE_SUFFIXES)}")
    for first, second in pairwise(names):
        if first == second:
            raise DatasetError(f"{path}: it holds {first} twice")
    return names


def _entries(path: Path) -> Iterator[Entry]:
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder")
    try:
        if path.is_dir():
            found = _folder_entries(path.resolve())
        elif zipfile.is_zipfile(path):
            found = _zip_entries(path)
        else:
            found = _tar_entries(path)
        for name, read in found:
            if _is_image(name):
                yield name, read
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise DatasetError(f"{path}: neither a folder nor a whole archive: {error}") from error


def _is_image(name: str) -> bool:
    hidden = any(part.startswith(".") for part in PurePosixPath(name).parts)
    return name.lower().endswith(IMAGE_SUFFIXES) and not hidden


def _folder_files(root: Path) -> Iterator[tuple[str, Path]]:
    for folder, _, files in os.walk(root):
        for name in files:
            file = Path(folder, name)
            yield file.relative_to(root).as_posix(), file


def _folder_entries(root: Path) -> Iterator[Entry]:
    for name, file in _folder_files(root):
        yield name, file.read_bytes


def _tar_entries(path: Path) -> Iterator[Entry]:
    with tarfile.open(path) as archive:
        for member in archive:
            name = _safe_name(path, member.name, link=not (member.isfile() or member.isdir()))
            if member.isfile():
                yield name, lambda member=member: archive.extractfile(member).read()


def _zip_entries(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            name = _safe_name(path, member.filename, link=stat.S_ISLNK(mode))
            if not member.is_dir():
                yield name, lambda member=member: archive.read(member)


def _safe_name(path: Path, name: str, *, link: bool) -> str:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or link:
        kind = "a link or device" if link else "a name that leads outside"
        raise DatasetError(f"{path}: the archive holds {kind}: {name!r}; it is refused")
    return str(parts)
