"""The training patches nearest to those of an image: how far they are, and their centres."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from torch import Tensor

from patchmosaic.machines.base import CandidateMachine

ALPHA_BAR = 0.9994
"""Near the limit 1, and within the variances for which the exact engine's error is known."""


def nearest_patches(
    machine: CandidateMachine, images: Tensor, patch_size: int, labels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """How far the nearest allowed training patch of each pixel is, and its centre.

    From ``exp(-a |x - y|^2 / 2 (1 - a))``, the weights of a machine at ``a = ALPHA_BAR`` for
    ``sqrt(a) x``: the largest tells the least distance, and the mean is the nearest patch's value.

    Args:
        machine: LS or ELS, with the dense or exact engine; its candidates are the allowed patches.
        images: (B, C, H, W), pixels in [-1, 1].
        patch_size: odd side P of the patches in pixels; they go on beyond the border as the
            machine's boundary says.
        labels: int (B,), when the machine's bank has labels.

    Returns:
        Distances, float64 (B, H, W): roots of the mean of squared differences over the C P P pixels
        of a patch, within 1e-4. Centres, (B, C, H, W): patches that are about as near (sums of
        squares within about 2 (1 - a) of the least) are averaged.
    """
    variance = (1 - ALPHA_BAR) / ALPHA_BAR
    sums = machine.posterior_sums(math.sqrt(ALPHA_BAR) * images, ALPHA_BAR, patch_size, labels)
    squares = -2 * variance * sums.log_max / (images.shape[1] * patch_size**2)
    return squares.clamp(min=0).sqrt(), sums.mean.to(images)


def patch_distances(
    machine: CandidateMachine,
    images: Tensor,
    patch_sizes: Sequence[int],
    labels: Tensor | None = None,
) -> pd.DataFrame:
    """How far the patches of each image are from the nearest training patches.

    Returns:
        A row an image and patch size: image (position), patch_size, and distance, the root of the
        mean over pixels of the squared distances of :func:`nearest_patches`.
    """
    tables = []
    for patch_size in patch_sizes:
        distances, _ = nearest_patches(machine, images, patch_size, labels)
        distance = distances.square().mean(dim=(1, 2)).sqrt()
        rows = {"image": range(len(images)), "patch_size": patch_size, "distance": distance}
        tables.append(pd.DataFrame(rows))
    return pd.concat(tables, ignore_index=True)
