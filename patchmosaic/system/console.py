"""How a job speaks: progress on the terminal and in its log, expected errors as one clear line."""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


class _Log:
    """A log file, written as far as its disk allows: it never raises."""

    def __init__(self, path: Path) -> None:
        self.file = None
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("w", encoding="utf-8", errors="backslashreplace")

    def write(self, text: str) -> None:
        with suppress(OSError):
            if self.file:
                self.file.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            if self.file:
                self.file.flush()

    def close(self) -> None:
        with suppress(OSError):
            if self.file:
                self.file.close()


class _Tee:
    """A text stream that writes to two; it is a terminal when the first is one."""

    def __init__(self, terminal: TextIO, log: _Log) -> None:
        self.terminal, self.log = terminal, log

    def write(self, text: str) -> int:
        self.log.write(text)
        return self.terminal.write(text)

    def flush(self) -> None:
        self.log.flush()
        self.terminal.flush()

    def isatty(self) -> bool:
        return self.terminal.isatty()


@contextmanager
def logged(log_path: str | Path) -> Generator[None]:
    """Copy standard error to a log file while the body runs.

    A ValueError or RuntimeError of the body (bad input, by this package's convention), an OSError
    (a full disk, a file that cannot be read) or a MemoryError ends the process with its message
    alone. The traceback goes to the log, except for the package's own kinds of errors and a full
    disk, whose message says it all. What happens to the log itself, on a full disk say, changes
    nothing of it.
    """
    terminal, log = sys.stderr, _Log(Path(log_path))
    sys.stderr = _Tee(terminal, log)
    warnings.showwarning = lambda message, *_: print(  # type: ignore[assignment]
        f"warning: {message}", file=sys.stderr
    )
    try:
        yield
    except (ValueError, RuntimeError, OSError, MemoryError) as error:
        is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not is_full and not type(error).__module__.startswith("patchmosaic."):
            traceback.print_exc(file=log)
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BaseException:
        traceback.print_exc(file=log)
        raise
    finally:
        sys.stderr = terminal
        log.close()
