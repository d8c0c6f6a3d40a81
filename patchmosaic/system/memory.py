"""Memory: large arrays are refused, with the bytes they need, before any of them is made."""

from __future__ import annotations

from patchmosaic.system.limits import available_memory


def require_memory(needed: int, what: str) -> None:
    """Raise MemoryError, naming ``what`` and the bytes, where so many are not to be had."""
    available = available_memory()
    if needed > available:
        raise MemoryError(
            f"{what} would take {needed:,} bytes of memory, and {available:,} are available; take "
            "fewer or smaller images (bank.images, datasets.*.size) or a machine with more memory"
        )
