"""Raw files known by the SHA-256 of their content."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from patchmosaic.system.files import written_whole

BLOCK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


class DatasetError(ValueError):
    """A dataset, a file of it or a request for it is not what it must be; the text says which."""


class SourceError(Exception):
    """One source did not give the verified files.

    `worth_retrying` is true where the same request may succeed a moment later: a stalled or broken
    transfer, a busy server.
    """

    def __init__(self, reason: str, *, worth_retrying: bool = False) -> None:
        super().__init__(reason)
        self.worth_retrying = worth_retrying


class Interrupted(Exception):
    """A transfer stopped before its end; raised by an iterator of blocks."""


@dataclass(frozen=True)
class RawFile:
    """A file of a dataset: its name, and the SHA-256 and size in bytes of its content as stored."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class RawImages:
    """The image files of a dataset, known by one digest over all of them.

    pattern: what the whole name of each matches, whatever folders lie around it; group 1 is the
    name that counts. sha256: `image_files.collection_digest` over those names.
    """

    pattern: str
    sha256: str

    def fits(self, name: str) -> bool:
        """Whether an image of the dataset may have that name."""
        return re.fullmatch(self.pattern, name) is not None

    def known_name(self, name: str) -> str:
        """The name that counts of an image; raises DatasetError for one of other images."""
        if found := re.fullmatch(self.pattern, name):
            return found[1]
        raise DatasetError(f"{name} is not an image of this dataset: its name does not fit")


def blocks(path: Path) -> Iterator[bytes]:
    """The content of a file, a block at a time."""
    with open(path, "rb") as handle:
        while block := handle.read(BLOCK_BYTES):
            yield block


def store(content: Iterable[bytes], folder: Path, file: RawFile) -> None:
    """Write `content` to `folder / file.name`, inflating gzip, and keep it only if it is `file`.

    Content is inflated when it begins as gzip does and the stored name does not end in .gz; writing
    stops once it outgrows the known size. Raises SourceError with the expected and found digests,
    after removing what was written.
    """
    if not file.name.endswith(".gz"):
        content = _inflated(content)
    digest, size, fault, interrupted = hashlib.sha256(), 0, "", False
    with written_whole(folder / file.name) as temporary:
        with open(temporary, "wb") as handle:
            try:
                for block in content:
                    handle.write(block)
                    digest.update(block)
                    size += len(block)
                    if size > file.size:
                        fault = "; stopped there, for it is too long"
                        break
            except (Interrupted, zlib.error) as error:
                fault, interrupted = f"; {error}", isinstance(error, Interrupted)
        if digest.hexdigest() != file.sha256:
            raise SourceError(
                f"{file.name}: expected SHA-256 {file.sha256} ({file.size} bytes), "
                f"found {digest.hexdigest()} ({size} bytes){fault}",
                worth_retrying=interrupted,
            )


def _inflated(content: Iterable[bytes]) -> Iterator[bytes]:
    inflater = None
    for index, block in enumerate(content):
        if index == 0 and block.startswith(GZIP_MAGIC):
            inflater = zlib.decompressobj(wbits=31)
        if inflater is None:
            yield block
            continue
        while block:
            yield inflater.decompress(block, BLOCK_BYTES)
            block = inflater.unconsumed_tail
