"""Agreement by band of spatial frequency."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import median_intervals
from patchmosaic.figures.style import interval_line, legend, machine_looks, panels, style


@style()
def bands(table: pd.DataFrame) -> Figure:
    """Agreement of final images by band of spatial frequency, a panel for each run of a network.

    Medians over seeds with their 95% intervals.

    Args:
        table: network, network_steps, machine, and the columns of
            :func:`patchmosaic.analysis.frequencies.band_agreement`.
    """
    runs = list(table.groupby(["network", "network_steps"]))
    figure, grid = panels(len(runs), 4, line=1.75)
    looks = machine_looks(table["machine"])
    for axes, ((network, steps), group) in zip(grid, runs, strict=True):
        for machine, look in looks.items():
            rows = group[group["machine"] == machine]
            medians = median_intervals(rows, ["low", "high"], "r")
            x = np.sqrt([low * high for low, high in medians.index])
            interval_line(axes, x, medians, look)
        axes.set_title(f"{network}\n{steps} steps, n = {group['seed'].nunique()}", fontsize=6.5)
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.grid(True)
    edges = sorted({*table["low"], *table["high"]})
    grid[0].set_xscale("log")
    ticks = [*(f"{edge:g}" for edge in edges[:-1]), ""]  # the last is too near to be labelled
    for axes in grid:
        axes.set_xticks(edges, ticks)
        axes.minorticks_off()
    figure.supxlabel(f"spatial frequency (cycles an image, up to {edges[-1]:g})", fontsize=7)
    figure.supylabel("Pearson r within the band", fontsize=7)
    legend(figure, looks, [])
    return figure


def draw(*, tables: Sequence[str]) -> Figure:
    """The figure from the files of every network and number of steps."""
    return bands(pd.concat(map(pd.read_csv, tables)))
