"""How new a sample is: its distance to the nearest training images, and whether it is a copy.

A sample counts as a copy where it is at most a third as far from its nearest training image as from
the second nearest (Yoon et al., 2023: "Diffusion probabilistic models generalize when they fail to
memorize"). Distances are roots of mean squared differences over pixels in [-1, 1].
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

COPY_RATIO = 1 / 3
_CANDIDATES = 8  # nearest by float32 products; their distances are then taken exactly
_BLOCK = 8192  # training images at once


def two_nearest(images: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
    """The two nearest training images of each image, and how far they are.

    Args:
        images: (n, C, H, W), in [-1, 1].
        training: (N, C, H, W), N at least 2.

    Returns:
        Distances, float64 (n, 2), increasing, and positions in ``training``, int64 (n, 2).
    """
    if len(training) < 2:
        raise ValueError(f"{len(training)} training images: a second nearest needs at least 2")
    queries = images.flatten(1).float()
    best, at = torch.empty(len(images), 0), torch.empty(len(images), 0, dtype=torch.int64)
    for first in range(0, len(training), _BLOCK):
        block = training[first : first + _BLOCK].flatten(1).float()
        squares = block.square().sum(1) - 2 * queries @ block.T  # |x|^2 is common to all
        best = torch.cat([best, squares], dim=1)
        here = torch.arange(first, first + len(block)).expand(len(images), -1)
        at = torch.cat([at, here], dim=1)
        best, chosen = best.topk(min(_CANDIDATES, best.shape[1]), dim=1, largest=False)
        at = at.gather(1, chosen)
    differences = images[:, None].double() - training[at].double()  # (n, K, C, H, W)
    distances, order = differences.square().mean(dim=(2, 3, 4)).sqrt().sort(dim=1, stable=True)
    return distances[:, :2], at.gather(1, order)[:, :2]


def novelty(images: Tensor, training: Tensor) -> pd.DataFrame:
    """One row an image: nearest (position), distance, second_distance, copy (bool)."""
    distances, at = two_nearest(images, training)
    first, second = distances.numpy().T
    return pd.DataFrame(
        {
            "nearest": at[:, 0].numpy(),
            "distance": first,
            "second_distance": second,
            "copy": np.less_equal(first, COPY_RATIO * second),
        }
    )
