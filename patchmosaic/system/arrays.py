"""Arrays in npz files, read whole and checked, without pickle."""

from __future__ import annotations

import math
import struct
import zipfile
from collections.abc import Container
from pathlib import Path

import numpy as np
from numpy.lib import format as npy


class ArrayError(ValueError):
    """An npz file that is missing, broken, or holds something else than plain arrays."""

    def __init__(self, path: str | Path, reason: object) -> None:
        super().__init__(f"{path}: not a readable npz file: {reason}")
        self.reason = reason


def read_arrays(path: str | Path, wanted: Container[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays that ``np.savez`` wrote, by name; all of them, or those that are wanted.

    Every member is read to its end, so that its CRC-32 is checked. Memory is taken only for as many
    bytes as the file holds: headers that promise more, and compressed members, are refused.

    Raises:
        ArrayError: naming the file and what is wrong with it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {
                name: _read(archive, member)
                for member in archive.infolist()
                for name in [member.filename.removesuffix(".npy")]
                if wanted is None or name in wanted
            }
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        SyntaxError,
        RuntimeError,
        OverflowError,
        MemoryError,
        struct.error,
        zipfile.BadZipFile,
    ) as error:
        raise ArrayError(path, error) from error


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    name = member.filename
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{name} is compressed; expected plain bytes, as np.savez writes")
    with archive.open(member) as file:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects, which would need pickle")
        promised, held = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if promised != held:
            raise ValueError(f"{name} promises {promised} bytes (shape {shape}) and holds {held}")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
