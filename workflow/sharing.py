"""How jobs of one kind share the cores and the memory of a machine."""

from __future__ import annotations

MOST_THREADS = 8  # more are seldom worth their waiting for each other


def threads_each(jobs: int, mem_mb: int, cores: int, memory_mb: int) -> int:
    """Threads for each of so many like jobs that may run at once: together the cores.

    Jobs side by side keep cores busier than threads within one: no thread waits for another. No
    more are side by side than have room in the memory, unless even MOST_THREADS leave cores free.
    """
    side_by_side = max(min(jobs, memory_mb // mem_mb), 1)
    return min(max(cores // side_by_side, 1), MOST_THREADS)
