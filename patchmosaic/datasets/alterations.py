"""Images altered in a way that a convolution does not know of: other data for the same networks.

Where locality comes from the architecture, a network trained on such images still looks near each
pixel; where it comes from the covariance of the data, it looks where the alteration has moved it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

PERMUTATION_STREAM = 0x7065726D  # of the one permutation, which has no seed


def permuted(pixels: Pixels) -> Pixels:
    """Images (N, C, H, W) with their pixels in another order, one for all images and channels."""
    count, channels, height, width = pixels.shape
    order = np.random.default_rng(PERMUTATION_STREAM).permutation(height * width)
    moved = pixels.reshape(count, channels, -1)[:, :, order]
    return np.ascontiguousarray(moved).reshape(pixels.shape)


def mirrored(pixels: Pixels) -> Pixels:
    """Images (N, C, H, W) whose right half is the mirror image of their left half.

    So each pixel says as much of the one on the other side as of itself. A column in the middle
    stays.
    """
    half = pixels.shape[3] // 2
    found = pixels.copy()
    if half:
        found[..., -half:] = pixels[..., half - 1 :: -1]
    return found


ALTERATIONS: dict[str, tuple[Callable[[Pixels], Pixels], str]] = {
    "permuted": (permuted, "pixels in another order, the same for all images"),
    "mirrored": (mirrored, "right half the mirror image of the left half"),
}
"""By name: what is done, and the same in words."""

HALVES = {"even": 0, "odd": 1}
"""Disjoint halves of the images, by the place in all of the first of them."""
