"""Agreement of machines and networks over time."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import median_intervals
from patchmosaic.figures.style import (
    COLUMN_INCHES,
    NETWORK_LOOK,
    PAGE_INCHES,
    interval_line,
    legend,
    machine_looks,
    source_key,
    style,
)


@style()
def agreement_along_trajectories(table: pd.DataFrame) -> Figure:
    """Pearson r of the predicted x_0 over time, a panel for each network.

    Args:
        table: network, machine, and the columns of
            :func:`patchmosaic.analysis.over_time.agreement_over_time`.
    """
    table = table.rename(columns={"machine": "source"})
    figure = along_trajectories(table, "mean_r", "Pearson r of the predicted images")
    figure.axes[0].set_ylim(min(0, table["mean_r"].min()), 1.02)
    return figure


def along_trajectories(table: pd.DataFrame, column: str, label: str) -> Figure:
    """Medians of a column over time with their 95% intervals, a panel for each network."""
    networks = list(table.groupby("network", sort=False))
    columns = min(4, len(networks))
    lines = math.ceil(len(networks) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 1.75 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    looks = machine_looks(table["source"])
    if "network" in set(table["source"]):
        looks = {"network": NETWORK_LOOK, **looks}
    for axes, (network, group) in zip(grid.flat, networks, strict=False):
        for source, look in looks.items():
            medians = median_intervals(group[group["source"] == source], "t", column)
            interval_line(axes, medians.index, medians, look)
        axes.set_title(f"{network}\nn = {group['seed'].nunique()} seeds", fontsize=6.5)
        axes.grid(True)
    grid[0, 0].set_xlim(1.02, -0.02)
    for axes in grid.flat[len(networks) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(networks) - columns) : len(networks)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("time t of the reverse process (1: noise, 0: image)", fontsize=7)
    figure.supylabel(label, fontsize=7)
    legend(figure, looks, [source_key("network", NETWORK_LOOK)] if "network" in looks else [])
    return figure


def draw(*, table: str) -> Figure:
    """The figure from the file of the agreement over time."""
    return agreement_along_trajectories(pd.read_csv(table))
