"""Threads of jobs that share a machine, and their memory."""

import pytest
from sharing import MOST_THREADS, memory_for, threads_each

from patchmosaic.datasets.registry import find_dataset


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


@pytest.mark.parametrize(
    ("dataset", "channels", "mem_mb"),
    [
        ("mnist", 1, 4000),
        ("fashion_mnist", 1, 4000),
        ("image_folder", 3, 4000),  # nobody knows how many
        ("cifar10", 1, 4000),
        ("cifar10", 3, 4703),
        ("celeba", 3, 7346),  # 162,770 x 3 x 32^2 values, of which 60,000 x 32^2 are usual
    ],
)
def test_jobs_ask_for_the_memory_of_their_images(dataset, channels, mem_mb):
    assert memory_for(4000, find_dataset(dataset).train_images, channels, 32) == mem_mb
