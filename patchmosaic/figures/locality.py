"""How far networks look, and the locality scales of the machines (the paper's figure 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.figures.style import (
    BLACK,
    BLUE,
    COLUMN_INCHES,
    GREEN,
    ORANGE,
    PAGE_INCHES,
    PURPLE,
    SKY,
    VERMILLION,
    style,
)

CURVE_COLOURS = (BLUE, VERMILLION, GREEN, BLACK, ORANGE, PURPLE, SKY)
CURVE_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
CURVE_MARKERS = "os^Dv<>"


@style()
def scales(tables_by_network: Mapping[str, pd.DataFrame], *, curves: int = 6) -> Figure:
    """The calibrated patch size P(t) of every network (the paper's figure 4b).

    The curves of a panel are moved apart by a fraction of a pixel, so that coinciding ones stay
    visible; P itself is always an odd integer.

    Args:
        tables_by_network: for each network a table with columns t and patch_size (pixels).
        curves: most networks in one panel.
    """
    if not tables_by_network:
        raise ValueError("there are no scales to draw")
    panels = math.ceil(len(tables_by_network) / curves)
    curves = math.ceil(len(tables_by_network) / panels)
    width = COLUMN_INCHES if panels == 1 else PAGE_INCHES
    figure = Figure((width, 2.3 + 0.13 * curves), layout="constrained")
    grid = figure.subplots(1, panels, squeeze=False, sharex=True, sharey=True)[0]
    for i, (network, table) in enumerate(tables_by_network.items()):
        table = table.sort_values("t")
        grid[i // curves].step(
            table["t"],
            table["patch_size"] + 0.24 * (i % curves - (curves - 1) / 2),
            where="mid",
            color=CURVE_COLOURS[i % curves % len(CURVE_COLOURS)],
            linestyle=CURVE_DASHES[i % curves % len(CURVE_DASHES)],
            marker=CURVE_MARKERS[i % curves % len(CURVE_MARKERS)],
            markersize=2.5,
            linewidth=1,
            label=network,
        )
    largest = max(int(table["patch_size"].max()) for table in tables_by_network.values())
    every = 2 * math.ceil(largest / 20)
    for axes in grid:
        axes.set(xlim=(0, 1.02), ylim=(0, largest + 1.5), yticks=range(1, largest + 1, every))
        axes.grid(True, axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.22), handlelength=3.5)
        axes.set_xlabel("time t of the reverse process (1: noise, 0: image)")
    grid[0].set_ylabel("locality scale P(t) (pixels)")
    return figure
