"""Python files of a user, which are run only from the path that the caller gives."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import Tensor

from patchmosaic.system.records import RecordError


def run_file(path: Path, sha256: str | None = None) -> ModuleType:
    """What a Python file defines; the very bytes whose digest was compared are run."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise RecordError(f"{path}: not readable: {error}") from None
    found = hashlib.sha256(source).hexdigest()
    if sha256 is not None and found != sha256:
        raise RecordError(
            f"{path}: expected SHA-256 {sha256}, found {found}; this is not the file that was "
            "brought in, and is not run"
        )
    code = ModuleType(f"patchmosaic_own_{found[:16]}")
    code.__file__ = str(path)
    sys.modules[code.__name__] = code  # where dataclasses and the like look for it
    with code_of(path, "it"):
        exec(compile(source, path, "exec", dont_inherit=True), code.__dict__)
    return code


def function_of(code: ModuleType, path: Path, name: str) -> Callable:
    """A function that a Python file has to define."""
    found = getattr(code, name, None)
    if not callable(found):
        raise RecordError(f"{path}: there is no function {name}; it has to define one")
    return found


@contextmanager
def code_of(path: Path, what: str) -> Generator[None]:
    """Errors of somebody's own code, as one line that names the file; the cause goes along."""
    try:
        yield
    except RecordError:
        raise
    except SystemExit as error:
        raise RecordError(f"{path}: {what} exits ({in_one_line(error)})") from error
    except Exception as error:
        raise RecordError(
            f"{path}: {what} raises {type(error).__name__}: {in_one_line(error)}"
        ) from error


def in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def described(tensor: Tensor) -> str:
    """Shape and dtype of a tensor, in words."""
    return f"shape {tuple(tensor.shape)} and {str(tensor.dtype).removeprefix('torch.')}"
