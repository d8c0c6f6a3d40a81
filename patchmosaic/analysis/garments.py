"""Inconsistent garments of Fashion-MNIST: extra limbs and missing sleeves (the paper's figure 5c).

A garment is called inconsistent where its silhouette has more limbs, or is less like its mirror
image, than all but one in twenty of the training images of its class.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

GARMENTS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Shirt")
"""The classes of Fashion-MNIST whose objects are worn symmetrically."""
DARK = -0.8  # pixels up to here, in [-1, 1], are background
RAREST = 0.05  # share of a class


def limbs(images: NDArray) -> NDArray[np.int64]:
    """The largest number of separate bright stretches in any row of the silhouette, (n,).

    Args:
        images: (n, 1, H, W), in [-1, 1].
    """
    silhouettes = np.pad(images[:, 0] > DARK, [(0, 0), (0, 0), (1, 0)])
    begins = silhouettes[..., 1:] & ~silhouettes[..., :-1]
    return begins.sum(axis=2).max(axis=1)


def asymmetry(images: NDArray) -> NDArray[np.float64]:
    """Share of silhouette and mirrored silhouette in which they differ, (n,), in [0, 1].

    Args:
        images: (n, 1, H, W), in [-1, 1]; an image without bright pixels is symmetric.
    """
    silhouettes = images[:, 0] > DARK
    mirrored = silhouettes[..., ::-1]
    differ = (silhouettes ^ mirrored).sum(axis=(1, 2))
    return differ / np.maximum((silhouettes | mirrored).sum(axis=(1, 2)), 1)


def inconsistent(
    images: NDArray,
    labels: NDArray[np.int64],
    training_images: NDArray,
    training_labels: NDArray[np.int64],
) -> pd.DataFrame:
    """Which garments have extra limbs or are lopsided, by the training images of their class.

    One is where at most a share RAREST of its class reaches its value.

    Args:
        images, training_images: (n, 1, H, W) and (N, 1, H, W), in [-1, 1].
        labels, training_labels: (n,) and (N,).

    Returns:
        One row an image: extra_limbs, lopsided, inconsistent (either of them).
    """
    result = pd.DataFrame(index=range(len(images)))
    for column, measure in (("extra_limbs", limbs), ("lopsided", asymmetry)):
        found, usual = measure(images), measure(training_images)
        result[column] = [
            (usual[training_labels == label] >= value).mean() <= RAREST
            for label, value in zip(labels, found, strict=True)
        ]
    return result.assign(inconsistent=result.any(axis=1))
