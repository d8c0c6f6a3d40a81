"""Agreement of machines and networks over time."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import median_intervals
from patchmosaic.figures.style import (
    NETWORK_LOOK,
    interval_line,
    legend,
    machine_looks,
    panels,
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
    many = len(networks) > 8
    figure, grid = panels(len(networks), 5 if many else 4, line=1.45 if many else 1.75)
    looks = machine_looks(table["source"])
    if "network" in set(table["source"]):
        looks = {"network": NETWORK_LOOK, **looks}
    for axes, (network, group) in zip(grid, networks, strict=True):
        for source, look in looks.items():
            medians = median_intervals(group[group["source"] == source], "t", column)
            interval_line(axes, medians.index, medians, look)
        axes.set_title(
            f"{network}\nn = {group['seed'].nunique()} seeds", fontsize=5.5 if many else 6.5
        )
        axes.grid(True)
    grid[0].set_xlim(1.02, -0.02)
    figure.supxlabel("time t of the reverse process (1: noise, 0: image)", fontsize=7)
    figure.supylabel(label, fontsize=7)
    legend(figure, looks, [source_key("network", NETWORK_LOOK)] if "network" in looks else [])
    return figure


def draw(*, table: str) -> Figure:
    """The figure from the file of the agreement over time."""
    return agreement_along_trajectories(pd.read_csv(table))
