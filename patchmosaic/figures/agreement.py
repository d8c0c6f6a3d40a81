"""How well machines and networks agree (the paper's figures 10 to 12, tables 1 and 2)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchmosaic.figures.style import COLUMN_INCHES, MACHINE_LOOKS, PAGE_INCHES, key, legend, style
from patchmosaic.headline import MACHINES


@style()
def scatter_is_vs_machine(agreement: pd.DataFrame) -> Figure:
    """Agreement of IS against that of the machines, a point a seed (the paper's figures 10 to 12).

    A panel for each network and number of steps; points above the diagonal are seeds where the
    machine agrees better than IS. The large marker is the median. Seeds whose correlation is
    undefined cannot be drawn; the panel says how many.

    Args:
        agreement: network, network_steps, machine, pearson_r, is_pearson_r; rows of machine "is"
            are left out.
    """
    table = agreement[agreement["machine"] != "is"]
    if table.empty:
        raise ValueError("agreement has no machine other than IS")
    panels = list(table.groupby(["network", "network_steps"]))
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, lines * (width / columns + 0.3)), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    values = table[["pearson_r", "is_pearson_r"]].to_numpy()
    low = min(0.0, float(np.nanmin(values)) - 0.05)
    for axes, ((network, steps), group) in zip(grid.flat, panels, strict=False):
        axes.plot([low, 1], [low, 1], color="0.6", linewidth=0.8, zorder=1)
        notes = []
        for machine in (m for m in MACHINES if m in set(group["machine"])):
            colour, marker = MACHINE_LOOKS[machine]
            rows = group[group["machine"] == machine]
            x, y = rows["is_pearson_r"], rows["pearson_r"]
            axes.scatter(x, y, 9, colour, marker=marker, alpha=0.55, linewidths=0)
            axes.scatter(
                x.median(),
                y.median(),
                55,
                colour,
                marker=marker,
                edgecolors="white",
                linewidths=1,
                zorder=3,
            )
            above = int((y > x).sum())
            notes.append(f"{machine.upper()} above IS: {above} of {len(rows)}")
            undefined = int((x.isna() | y.isna()).sum())
            if undefined:
                notes.append(f"{undefined} undefined, not drawn")
        axes.set_title(f"{network}\n{steps} network steps")
        axes.text(0.98, 0.02, "\n".join(notes), ha="right", va="bottom", transform=axes.transAxes)
        axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal")
        axes.grid(True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        axes.tick_params(labelbottom=True)  # also where the line below ends earlier
    figure.supxlabel("IS and network: Pearson r", fontsize=7)
    figure.supylabel("machine and network: Pearson r", fontsize=7)
    shown = [m for m in MACHINES if m in set(table["machine"])]
    legend(figure, shown, [key("none", "o", "large: median over seeds")])
    return figure


@style()
def headline_chart(headline: pd.DataFrame) -> Figure:
    """Median agreement of every network and machine, with intervals, beside the paper's medians.

    Args:
        headline: as :func:`patchmosaic.headline.headline` makes it.
    """
    networks = list(dict.fromkeys(headline["network"]))
    steps = sorted(headline["network_steps"].unique())
    machines = [m for m in MACHINES if m in set(headline["machine"])]
    width = PAGE_INCHES if len(steps) > 1 else COLUMN_INCHES + 1
    figure = Figure((width, 0.9 + 0.5 * len(networks)), layout="constrained")
    grid = figure.subplots(1, len(steps), squeeze=False, sharex=True, sharey=True)[0]
    spread = (np.arange(len(machines)) - (len(machines) - 1) / 2) * 0.8 / len(machines)
    for axes, count in zip(grid, steps, strict=True):
        for machine, shift in zip(machines, spread, strict=True):
            _medians(axes, headline, networks, count, machine, shift)
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
    legend(figure, machines, [key("none", "d", "paper's median")])
    return figure


def _medians(
    axes: Axes, headline: pd.DataFrame, networks: list[str], steps: int, machine: str, shift: float
) -> None:
    """Our medians and the paper's of one machine, a line for each network."""
    rows = headline[(headline["network_steps"] == steps) & (headline["machine"] == machine)]
    colour, marker = MACHINE_LOOKS[machine]
    y = rows["network"].map(networks.index) + shift
    bounds = [rows["pearson_r"] - rows["pearson_r_low"], rows["pearson_r_high"] - rows["pearson_r"]]
    axes.errorbar(
        rows["pearson_r"], y, xerr=bounds, color=colour, fmt=marker, elinewidth=1, markersize=3.5
    )
    # Below ours, so that neither hides the other where they coincide.
    axes.plot(rows["paper"], y + 0.11, "d", color=colour, markerfacecolor="white", markersize=3.5)
