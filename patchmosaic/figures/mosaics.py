"""Mosaics of a black and a white training image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from patchmosaic.analysis.consistency import (
    black_and_white,
    constant_scale_samples,
    inconsistent_pixels,
)
from patchmosaic.figures.style import ORANGE, PAGE_INCHES, picture, style
from patchmosaic.machines.local import LocalScoreMachine
from patchmosaic.sampling.sampler import seed_noise


@style()
def mosaics(
    images_by_cell: Mapping[tuple[int, int], ArrayLike],
    inconsistent_by_cell: Mapping[tuple[int, int], ArrayLike],
) -> Figure:
    """Mosaics of a black and a white training image (the paper's figure 3).

    A row for each locality scale, a column for each number of steps. Pixels that contradict
    theorem 4.1 are covered in colour, and their share is written below.

    Args:
        images_by_cell: for each (P in pixels, steps) the images (n, 1, H, W) in [-1, 1], of which
            the first is drawn.
        inconsistent_by_cell: for each cell where its images are inconsistent, bool (n, H, W).
    """
    sizes = sorted({size for size, _ in images_by_cell})
    counts = sorted({steps for _, steps in images_by_cell})
    n = {len(np.asarray(images)) for images in images_by_cell.values()}
    if len(n) != 1 or set(images_by_cell) != set(inconsistent_by_cell):
        raise ValueError("every cell needs its images and where they are inconsistent, n alike")
    cell = (PAGE_INCHES - 0.6) / max(5, len(counts))
    shape = (0.6 + cell * len(counts), 0.45 + (cell + 0.1) * len(sizes))
    figure = Figure(shape, layout="constrained")
    grid = figure.subplots(len(sizes), len(counts), squeeze=False)
    for i, size in enumerate(sizes):
        for j, steps in enumerate(counts):
            images = np.asarray(images_by_cell[size, steps])
            wrong = np.asarray(inconsistent_by_cell[size, steps])
            axes = grid[i, j]
            axes.imshow(picture(images[0]), interpolation="nearest")
            axes.imshow(wrong[0][..., None] * to_rgba_array(ORANGE), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(True)
            axes.set_xlabel(f"{wrong.mean():.1%} inconsistent", labelpad=2, fontsize=6)
            if i == 0:
                axes.set_title(f"{steps} steps")
            if j == 0:
                axes.set_ylabel(f"P = {size} pixels")
    figure.legend(
        handles=[
            Patch(
                facecolor=ORANGE,
                label="pixel is not the centre of its nearest training patch "
                f"(share over n = {n.pop()} seeds)",
            )
        ],
        loc="outside lower center",
    )
    return figure


def draw(*, size: int, patch_sizes: Sequence[int], steps: Sequence[int], seeds: int) -> Figure:
    """The figure of what a machine samples from a black and a white image, in steps too large."""
    bank = black_and_white(size)
    # The patches of a constant image are the same everywhere, so LS, which is quick, is ELS.
    machine = LocalScoreMachine(bank, boundary="circular", engine="dense")
    noise = seed_noise(list(range(seeds)), bank.shape[1:])
    images, inconsistent = {}, {}
    for patch_size in patch_sizes:
        for count in steps:
            cell = patch_size, count
            images[cell] = constant_scale_samples(machine, noise, patch_size, count)
            inconsistent[cell] = inconsistent_pixels(machine, images[cell], patch_size)
    return mosaics(images, inconsistent)
