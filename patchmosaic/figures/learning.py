"""Agreement during the training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import median_intervals
from patchmosaic.figures.style import interval_line, legend, machine_looks, panels, style

SEEN_TICKS = tuple(m * 10**e for e in range(9) for m in (1, 3))


@style()
def learning_curves(table: pd.DataFrame) -> Figure:
    """Agreement of machines and a network during its training, a panel for each network.

    Medians over seeds with their 95% intervals. The first point, before any image, is the
    network that the training began with.

    Args:
        table: network, network_steps, machine, images_seen, seed, pearson_r.
    """
    networks = list(table.groupby("network", sort=False))
    figure, grid = panels(len(networks), 3, line=2.1)
    looks = machine_looks(table["machine"])
    seen = sorted(set(table["images_seen"]) - {0})
    begin = seen[0] / 3  # where the untrained network stands on the logarithmic axis
    for axes, (network, group) in zip(grid, networks, strict=True):
        for machine, look in looks.items():
            rows = group[group["machine"] == machine]
            medians = median_intervals(rows, "images_seen", "pearson_r")
            x = np.maximum(medians.index, begin)
            interval_line(axes, x, medians, look)
        steps = group["network_steps"].iloc[0]
        axes.set_title(f"{network}\n{steps} steps, n = {group['seed'].nunique()}", fontsize=6.5)
        axes.grid(True)
    ticks = [tick for tick in SEEN_TICKS if seen[0] <= tick <= seen[-1]]
    grid[0].set(xscale="log", ylim=(min(0.0, table["pearson_r"].min()), 1.02))
    grid[0].set_xticks([begin, *ticks], ["0", *(f"{tick:,}" for tick in ticks)])
    grid[0].minorticks_off()
    figure.supxlabel("training images seen (logarithmic after the untrained network)", fontsize=7)
    figure.supylabel("Pearson r of machine and network", fontsize=7)
    legend(figure, looks, [])
    return figure


def draw(*, tables: Sequence[str]) -> Figure:
    """The figure from the files of every network that has snapshots."""
    return learning_curves(pd.concat(map(pd.read_csv, tables)))
