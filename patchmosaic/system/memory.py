"""Memory: large arrays are refused, with the bytes they need, before any of them is made."""

from __future__ import annotations

import psutil


def require_memory(needed: int, what: str) -> None:
    """Raise MemoryError, naming ``what`` and the bytes, where so many are not to be had."""
    available = psutil.virtual_memory().available
    if needed > available:
        raise MemoryError(
            f"{what} would take {needed:,} bytes of memory, and {available:,} are available; take "
            "fewer or smaller images (bank.images, datasets.*.size) or a machine with more memory"
        )
