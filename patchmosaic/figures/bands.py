"""Agreement by band of spatial frequency."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import median_intervals
from patchmosaic.figures.style import (
    COLUMN_INCHES,
    PAGE_INCHES,
    interval_line,
    legend,
    machine_looks,
    style,
)


@style()
def bands(table: pd.DataFrame) -> Figure:
    """Agreement of final images by band of spatial frequency, a panel for each run of a network.

    Medians over seeds with their 95% intervals.

    Args:
        table: network, network_steps, machine, and the columns of
            :func:`patchmosaic.analysis.frequencies.band_agreement`.
    """
    runs = list(table.groupby(["network", "network_steps"]))
    columns = min(4, len(runs))
    lines = math.ceil(len(runs) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 1.75 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    looks = machine_looks(table["machine"])
    for axes, ((network, steps), group) in zip(grid.flat, runs, strict=False):
        for machine, look in looks.items():
            rows = group[group["machine"] == machine]
            medians = median_intervals(rows, ["low", "high"], "r")
            x = np.sqrt([low * high for low, high in medians.index])
            interval_line(axes, x, medians, look)
        axes.set_title(f"{network}\n{steps} steps, n = {group['seed'].nunique()}", fontsize=6.5)
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.grid(True)
    edges = sorted({*table["low"], *table["high"]})
    grid[0, 0].set_xscale("log")
    ticks = [*(f"{edge:g}" for edge in edges[:-1]), ""]  # the last is too near to be labelled
    for axes in grid.flat:
        axes.set_xticks(edges, ticks)
        axes.minorticks_off()
    for axes in grid.flat[len(runs) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(runs) - columns) : len(runs)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel(f"spatial frequency (cycles an image, up to {edges[-1]:g})", fontsize=7)
    figure.supylabel("Pearson r within the band", fontsize=7)
    legend(figure, looks, [])
    return figure


def draw(*, tables: Sequence[str]) -> Figure:
    """The figure from the files of every network and number of steps."""
    return bands(pd.concat(map(pd.read_csv, tables)))
