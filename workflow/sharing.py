"""What jobs of one kind need, and how they share the cores and the memory of a machine."""

from __future__ import annotations

MOST_THREADS = 8  # more are seldom worth their waiting for each other
USUAL_VALUES = 60_000 * 32 * 32  # of MNIST and Fashion-MNIST, for which rules state their memory
BYTES_A_VALUE = 8  # as read, as float32, as two orders of an engine's bank, and a byte to spare


def threads_each(jobs: int, mem_mb: int, cores: int, memory_mb: int) -> int:
    """Threads for each of so many like jobs that may run at once: together the cores.

    Jobs side by side keep cores busier than threads within one: no thread waits for another. No
    more are side by side than have room in the memory, unless even MOST_THREADS leave cores free.
    """
    side_by_side = max(min(jobs, memory_mb // mem_mb), 1)
    return min(max(cores // side_by_side, 1), MOST_THREADS)


def memory_for(usual_mb: int, images: int | None, channels: int, size: int) -> int:
    """MB of memory for a job that takes ``usual_mb`` with 60,000 gray images of 32 x 32 pixels.

    What a job holds of its images grows with their number of values, images x channels x size^2;
    the rest, an index of patches too, is bounded. Fewer images than usual ask for as much, and so
    do folders whose number of images (None) is not known.
    """
    more = (images or 0) * channels * size**2 - USUAL_VALUES
    return usual_mb + max(more, 0) * BYTES_A_VALUE // 2**20
