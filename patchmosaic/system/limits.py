"""The cores and the memory that this process may use, which may be fewer than the computer has.

A container's limits stand in files of Linux's control groups, of version 2 or 1 (cgroups(7)); an
affinity to some cores (sched(7)) is known to the operating system. Each group that holds the
process limits it, and so do the groups around it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cores() -> int:
    """How many cores, at least one; of a share of a core, the whole one."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        found = os.cpu_count() or 1
    for folder in _groups("cpu"):
        quota, period = _numbers(folder / "cpu.max", 2) or (
            *(_numbers(folder / "cpu.cfs_quota_us") or (-1,)),
            *(_numbers(folder / "cpu.cfs_period_us") or (0,)),
        )
        if quota > 0 and period > 0:
            found = min(found, math.ceil(quota / period))
    return max(found, 1)


def total_memory() -> int:
    """Bytes of memory, used ones among them."""
    limits = (limit for limit, _, _ in _memory_limits())
    return min([psutil.virtual_memory().total, *limits])


def available_memory() -> int:
    """Bytes that can be taken without swapping; cached files that can be dropped are among them."""
    rests = (limit - used + droppable for limit, used, droppable in _memory_limits())
    return max(min([psutil.virtual_memory().available, *rests]), 0)


def _memory_limits() -> Iterator[tuple[int, int, int]]:
    """Of each group that has a limit: limit, bytes used, and those of inactive cached files."""
    for folder in _groups("memory"):
        for limit, used, droppable in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            if found := _numbers(folder / limit):
                now = _numbers(folder / used) or (0,)
                yield found[0], now[0], _statistics(folder / "memory.stat").get(droppable, 0)


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the groups of a controller that hold this process, from the inside out.

    What a container sees as the root may be named there as the host names it: it is there, too.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:  # not on Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            roots = [GROUPS, GROUPS / "unified"]
        elif controller in controllers.split(","):
            roots = [GROUPS / controllers, GROUPS / controller]
        else:
            continue
        for root in dict.fromkeys(roots):
            inner = root / path.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root))


def _numbers(path: Path, count: int = 1) -> tuple[int, ...] | None:
    """The numbers of a file; None where it is not there, or says that there is no limit."""
    try:
        words = path.read_text().split()
        return tuple(map(int, words)) if len(words) == count else None
    except (OSError, ValueError):
        return None


def _statistics(path: Path) -> dict[str, int]:
    try:
        return {name: int(value) for name, value in map(str.split, path.read_text().splitlines())}
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    print(cores())
