"""Threads of jobs that share a machine."""

import pytest
from sharing import MOST_THREADS, threads_each


@pytest.mark.parametrize(
    ("jobs", "cores", "memory_gb", "threads"),
    [
        (4, 2, 24, 1),  # the default experiment on a laptop
        (1, 2, 24, 2),  # a single job has all cores
        (4, 16, 64, 4),
        (110, 64, 400, 1),
        (110, 64, 64, 4),  # sixteen jobs of 4 GB fit, not sixty-four
        (4, 2, 2, 2),  # not even one fits: one at a time
        (1, 64, 400, MOST_THREADS),
        (3, 2, 24, 1),
    ],
)
def test_jobs_share_cores_and_memory(jobs, cores, memory_gb, threads):
    assert threads_each(jobs, 4000, cores, memory_gb * 1000) == threads
