"""Altered images: what is done to their pixels, and that it is the same for every image."""

import numpy as np
import pytest

from patchmosaic.datasets.alterations import ALTERATIONS, mirrored, permuted

RNG = np.random.default_rng(0)


def images(count=5, channels=2, size=6):
    return RNG.integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def test_one_permutation_is_of_all_images_and_channels():
    """The covariance of pixels is that of the plain images with rows and columns in that order."""
    plain = images()
    position = np.arange(36, dtype=np.uint8).reshape(1, 1, 6, 6)
    order = permuted(position).ravel()
    assert sorted(order) == list(range(36))
    assert (order != np.arange(36)).sum() > 30
    found = permuted(plain).reshape(5, 2, 36)
    for i in range(36):
        np.testing.assert_array_equal(found[..., i], plain.reshape(5, 2, 36)[..., order[i]])


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_the_right_half_mirrors_the_left(size):
    plain = images(size=size)
    found = mirrored(plain)
    np.testing.assert_array_equal(found, found[..., ::-1])
    left = -(-size // 2)
    np.testing.assert_array_equal(found[..., :left], plain[..., :left])


@pytest.mark.parametrize("name", ALTERATIONS)
def test_images_are_altered_one_by_one_and_stay_as_they_were(name):
    alter, words = ALTERATIONS[name]
    plain = images()
    before = plain.copy()
    found = alter(plain)
    assert (found.dtype, found.shape) == (np.uint8, plain.shape)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(plain, before)
    np.testing.assert_array_equal(alter(plain[2:3]), found[2:3])
    assert words
