"""Medians with their intervals beside the paper's."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchmosaic.figures.style import (
    COLUMN_INCHES,
    PAGE_INCHES,
    key,
    legend,
    machine_looks,
    style,
)

FEW = 8  # networks that have more room than their markers need


@style()
def headline_chart(headline: pd.DataFrame) -> Figure:
    """Median agreement of every network and machine, with intervals, beside the paper's medians.

    Args:
        headline: as :func:`patchmosaic.tables.headline.headline` makes it.
    """
    networks = list(dict.fromkeys(headline["network"]))
    steps = sorted(headline["network_steps"].unique())
    looks = machine_looks(headline["machine"])
    width = PAGE_INCHES if len(steps) > 1 else COLUMN_INCHES + 1
    row = max(0.5 if len(networks) <= FEW else 0.3, 0.09 * len(looks))  # inches
    figure = Figure((width, 0.9 + row * len(networks)), layout="constrained")
    grid = figure.subplots(1, len(steps), squeeze=False, sharex=True, sharey=True)[0]
    spread = (np.arange(len(looks)) - (len(looks) - 1) / 2) * 0.8 / len(looks)
    for axes, count in zip(grid, steps, strict=True):
        for machine, shift in zip(looks, spread, strict=True):
            _medians(axes, headline, networks, count, machine, shift, looks[machine])
        for boundary in np.arange(1, len(networks)) - 0.5:
            axes.axhline(boundary, color="0.88", linewidth=0.5)
        axes.set_title(f"{count} network steps")
        axes.grid(True, axis="x")
        axes.tick_params(axis="y", length=0)
    lowest = headline[["pearson_r_low", "paper"]].min().min()
    grid[0].set(
        xlim=(min(0.0, lowest - 0.03), 1.01),
        ylim=(len(networks) - 0.5, -0.5),
        yticks=range(len(networks)),
        yticklabels=networks,
    )
    few, many = headline["seeds"].min(), headline["seeds"].max()
    n = f"{many}" if few == many else f"{few} to {many}"
    figure.supxlabel(f"median Pearson r with the network, n = {n} seeds, 95% interval", fontsize=7)
    legend(figure, looks, [key("none", "d", "paper's median")])
    return figure


def _medians(
    axes: Axes,
    headline: pd.DataFrame,
    networks: list[str],
    steps: int,
    machine: str,
    shift: float,
    look: tuple[str, str],
) -> None:
    """Our medians and the paper's of one machine, a line for each network."""
    rows = headline[(headline["network_steps"] == steps) & (headline["machine"] == machine)]
    colour, marker = look
    y = rows["network"].map(networks.index) + shift
    bounds = [rows["pearson_r"] - rows["pearson_r_low"], rows["pearson_r_high"] - rows["pearson_r"]]
    axes.errorbar(
        rows["pearson_r"], y, xerr=bounds, color=colour, fmt=marker, elinewidth=1, markersize=3.5
    )
    # Below ours, so that neither hides the other where they coincide.
    axes.plot(rows["paper"], y + 0.11, "d", color=colour, markerfacecolor="white", markersize=3.5)


def draw(*, table: str) -> Figure:
    """The figure from the file of the headline table."""
    return headline_chart(pd.read_csv(table))
