"""Files: digests, writing that leaves them whole or not at all, locks among processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def written_whole(path: Path) -> Generator[Path]:
    """Yield a temporary name that becomes `path` when the block ends without error.

    No other writer, on this machine or another, has the same temporary name, so that of several
    that write `path` at once the last one's file stays, whole. A killed one leaves `.*.part`.
    An OSError of the block that does not name a file, of a full disk say, gets the name of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def locked(path: Path) -> TextIO | None:
    """The file at `path`, locked until it is closed or the process ends, however that ends.

    None where another process holds it. On a file system without locks, it is taken as free.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError as error:
        warnings.warn(f"{path}: no lock to be had here: {error}", stacklevel=2)
    return file
