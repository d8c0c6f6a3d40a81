"""Border dictionaries: which training patches a query patch is compared with."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from patchmosaic.figures.style import BLUE, PAGE_INCHES, VERMILLION, style
from patchmosaic.machines.brute_force import allowed_positions


def _square(axes: Axes, row: int, col: int, side: int, fill: bool = False, **looks) -> None:
    """The outline of ``side`` x ``side`` pixels around a pixel."""
    corner = (col - side / 2, row - side / 2)
    axes.add_patch(Rectangle(corner, side, side, fill=fill, **looks))


@style()
def border_dictionaries(size: int = 12, patch_size: int = 5) -> Figure:
    """Which training patches a query patch is compared with (the paper's figure 9).

    A panel for a query pixel in the interior, near one edge and near two edges under the broken
    boundary, one for a circular image, and one for LS. Candidates are those of
    :func:`patchmosaic.machines.brute_force.allowed_positions`.

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
        if boundary == "zeros":
            corner, side = (-half - 0.5, -half - 0.5), size + 2 * half
            looks = Rectangle(corner, side, side, lw=0, fc="0.9", hatch="////", ec="0.75")
            axes.add_patch(looks)
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


def draw() -> Figure:
    """The figure, which needs no file."""
    return border_dictionaries()
