"""Locality scales over time."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.figures.style import (
    COLUMN_INCHES,
    CURVE_COLOURS,
    CURVE_DASHES,
    CURVE_MARKERS,
    PAGE_INCHES,
    style,
)

MOST_CURVES = 6  # in one panel


@style()
def scales(table: pd.DataFrame) -> Figure:
    """The calibrated patch size P(t) of every network (the paper's figure 4b).

    The curves of a panel are moved apart by a fraction of a pixel, so that coinciding ones stay
    visible; P itself is always an odd integer. Vertical lines reach from the smallest to largest
    best P of single trajectories.

    Args:
        table: network, t, patch_size (the locality scale P in pixels), smallest, largest (best P of
            a trajectory), trajectories (how many).
    """
    if table.empty:
        raise ValueError("there are no scales to draw")
    networks = list(table.sort_values("t").groupby(["network", "trajectories"], sort=False))
    networks.sort(key=lambda named: list(table["network"]).index(named[0][0]))
    panels = math.ceil(len(networks) / MOST_CURVES)
    curves = math.ceil(len(networks) / panels)
    width = COLUMN_INCHES if panels == 1 else PAGE_INCHES
    figure = Figure((width, 2.3 + 0.13 * curves), layout="constrained")
    grid = figure.subplots(1, panels, squeeze=False, sharex=True, sharey=True)[0]
    for i, ((network, n), found) in enumerate(networks):
        place = i % curves - (curves - 1) / 2
        colour = CURVE_COLOURS[i % curves % len(CURVE_COLOURS)]
        apart, later = 0.24 * place, 0.005 * place
        grid[i // curves].vlines(
            found["t"] + later,
            found["smallest"] + apart,
            found["largest"] + apart,
            colors=colour,
            linewidths=0.6,
            alpha=0.6,
        )
        grid[i // curves].step(
            found["t"],
            found["patch_size"] + apart,
            where="mid",
            color=colour,
            linestyle=CURVE_DASHES[i % curves % len(CURVE_DASHES)],
            marker=CURVE_MARKERS[i % curves % len(CURVE_MARKERS)],
            markersize=2.5,
            linewidth=1,
            label=f"{network}, n = {n}",
        )
    largest = int(table[["patch_size", "largest"]].max(axis=None))
    every = 2 * math.ceil(largest / 20)
    for axes in grid:
        axes.set(xlim=(0, 1.02), ylim=(0, largest + 1.5), yticks=range(1, largest + 1, every))
        axes.grid(True, axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.22), handlelength=3.5)
        axes.set_xlabel("time t of the reverse process (1: noise, 0: image)")
    grid[0].set_ylabel("locality scale P(t) (pixels)")
    return figure


def draw(*, table: str) -> Figure:
    """The figure from the file of the locality scales."""
    return scales(pd.read_csv(table))
