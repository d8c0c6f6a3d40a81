"""Agreement over time by band of spatial frequency."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import median_intervals
from patchmosaic.figures.style import COLUMN_INCHES, PAGE_INCHES, style
from patchmosaic.machines.registry import label, ordered

WIDE_INTERVAL = 0.2  # of a median Pearson r, from end to end


@style()
def bands_along_trajectories(table: pd.DataFrame) -> Figure:
    """Pearson r of the predicted x_0 over time and spatial frequency: machines by networks.

    Medians over seeds; dots where the 95% interval of the median is wider than WIDE_INTERVAL.

    Args:
        table: network, machine, and the columns of
            :func:`patchmosaic.analysis.over_time.band_agreement_over_time`.
    """
    networks = list(dict.fromkeys(table["network"]))
    shown = ordered(table["machine"])
    columns = min(4, len(networks))
    lines = math.ceil(len(networks) / columns) * len(shown)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.9 + 1.1 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
    colours = matplotlib.colormaps["viridis"].with_extremes(under="0.75")
    for (row, column), axes in np.ndenumerate(grid):
        block, machine = divmod(row, len(shown))
        if block * columns + column >= len(networks):
            axes.set_axis_off()
            continue
        network = networks[block * columns + column]
        group = table[(table["network"] == network) & (table["machine"] == shown[machine])]
        medians = median_intervals(group, ["low", "t"], "r").unstack()
        wide = medians["estimate"]
        edges, t = [*wide.index, group["high"].max()], wide.columns.to_numpy()
        between = np.concatenate([[t[0]], (t[1:] + t[:-1]) / 2, [t[-1]]])
        heat = axes.pcolormesh(
            between, range(len(edges)), wide, cmap=colours, vmin=0, vmax=1, rasterized=True
        )
        wide_bands, moments = np.nonzero(medians["high"] - medians["low"] > WIDE_INTERVAL)
        middles = (between[1:] + between[:-1])[moments] / 2
        axes.scatter(middles, wide_bands + 0.5, 3, "white", edgecolors="0.2", linewidths=0.3)
        axes.set_yticks(range(len(edges)), [f"{edge:g}" for edge in edges])
        if machine == 0:
            axes.set_title(f"{network}\nn = {group['seed'].nunique()} seeds", fontsize=6.5)
        if column == 0:
            axes.set_ylabel(label(shown[machine]))
        if (block + 1) * columns + column >= len(networks) and machine == len(shown) - 1:
            axes.tick_params(labelbottom=True)
    grid[0, 0].set_xlim(1, 0)
    figure.supxlabel("time t of the reverse process (1: noise, 0: image)", fontsize=7)
    figure.supylabel("spatial frequency (cycles an image)", fontsize=7)
    bar = figure.colorbar(heat, ax=grid, aspect=12 * lines, extend="min")
    bar.set_label("Pearson r within the band")
    return figure


def draw(*, table: str) -> Figure:
    """The figure from the file of the agreement over time by frequency."""
    return bands_along_trajectories(pd.read_csv(table))
