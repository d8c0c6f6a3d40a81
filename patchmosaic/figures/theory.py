"""What the machines compare and where they end, without data (the paper's figures 3 and 9)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from patchmosaic.figures.style import (
    BLUE,
    ORANGE,
    PAGE_INCHES,
    VERMILLION,
    picture,
    style,
)
from patchmosaic.reference import allowed_positions


def _square(axes: Axes, row: int, col: int, side: int, **looks) -> None:
    """The outline of ``side`` x ``side`` pixels around a pixel."""
    corner = (col - side / 2, row - side / 2)
    axes.add_patch(Rectangle(corner, side, side, **{"fill": False} | looks))


@style()
def border_dictionaries(size: int = 12, patch_size: int = 5) -> Figure:
    """Which training patches a query patch is compared with (the paper's figure 9).

    A panel for a query pixel in the interior, near one edge and near two edges under the broken
    boundary, one for a circular image, and one for LS. Candidates are those of
    :func:`patchmosaic.reference.allowed_positions`.

    Args:
        size: side of the image in pixels.
        patch_size: odd side P of the patches in pixels, at least 3.
    """
    half, middle = patch_size // 2, size // 2
    panels = [
        ("ELS, interior", (middle, middle - 1), "zeros", True),
        ("ELS, near one edge", (half - 1, middle - 1), "zeros", True),
        ("ELS, near two edges", (half - 1, 0), "zeros", True),
        ("ELS, circular image", (half - 1, 0), "circular", True),
        ("LS, any boundary", (middle, middle - 1), "zeros", False),
    ]
    figure = Figure((PAGE_INCHES, 1.9))
    sides = {"left": 0.005, "right": 0.995, "top": 0.84, "bottom": 0.14, "wspace": 0.06}
    grid = figure.subplots(1, len(panels), gridspec_kw=sides)
    for axes, (title, (row, col), boundary, equivariant) in zip(grid, panels, strict=True):
        centres = [(row, col)]
        if equivariant:
            centres = allowed_positions(row, col, (size, size), patch_size, boundary, "wrapped")
        outside = {"zeros": {"facecolor": "0.9", "hatch": "////", "edgecolor": "0.75"}}
        if boundary in outside:
            whole = (-half - 0.5, -half - 0.5)
            axes.add_patch(
                Rectangle(whole, size + 2 * half, size + 2 * half, lw=0, **outside[boundary])
            )
        axes.add_patch(Rectangle((-0.5, -0.5), size, size, facecolor="white", edgecolor="black"))
        rows, cols = zip(*centres, strict=True)
        axes.scatter(cols, rows, 5, BLUE, linewidths=0, zorder=3)
        for dy, dx in ((0, 0),) if boundary == "zeros" else ((0, 0), (size, 0), (0, size)):
            _square(axes, row + dy, col + dx, patch_size, edgecolor=VERMILLION, lw=1.2, zorder=4)
        if boundary == "circular":
            _square(axes, row + size, col + size, patch_size, edgecolor=VERMILLION, lw=1.2)
        axes.plot(col, row, "s", color=VERMILLION, markersize=3.5, zorder=5)
        axes.set_title(f"{title}\n{len(centres)} of {size**2} positions")
        reach = half + 0.7
        axes.set(xlim=(-reach, size - 1 + reach), ylim=(size - 1 + reach, -reach), aspect="equal")
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    figure.legend(
        handles=[
            Patch(facecolor="none", edgecolor=VERMILLION, label=f"query patch, P = {patch_size}"),
            Patch(facecolor=BLUE, label="centres of its candidates in every training image"),
            Patch(facecolor="0.9", hatch="////", edgecolor="0.75", label="zeros beyond the border"),
        ],
        loc="lower center",
        ncols=3,
    )
    return figure


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
    n = {len(images) for images in images_by_cell.values()}
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
