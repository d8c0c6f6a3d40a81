"""What the agreement needs: controls and ablations, and the training of the network."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.figures.style import (
    BLACK,
    BLUE,
    COLUMN_INCHES,
    MACHINE_LOOKS,
    PAGE_INCHES,
    VERMILLION,
    interval_line,
    key,
    legend,
    style,
)
from patchmosaic.headline import MACHINES
from patchmosaic.statistics import median_intervals

KIND_LOOKS = {"control": (VERMILLION, "s"), "ablation": (BLUE, "o")}
SEEN_TICKS = tuple(m * 10**e for e in range(9) for m in (1, 3))


@style()
def variants(table: pd.DataFrame, *, unchanged: str) -> Figure:
    """Median agreement of ELS and network under every control and ablation, with intervals.

    A panel for each network, and a marker, full or open, for each number of network steps. The
    vertical bands are the intervals of the chain as it is.

    Args:
        table: as :func:`patchmosaic.variants.variants_table` makes it.
        unchanged: the name of the chain as it is.
    """
    networks = list(dict.fromkeys(table["network"]))
    steps = sorted(table["network_steps"].unique())
    order = {k: i for i, k in enumerate(("", *KIND_LOOKS))}
    ranked = table.sort_values("kind", key=lambda kinds: kinds.fillna("").map(order), kind="stable")
    names = list(dict.fromkeys(ranked["variant"]))
    columns = min(3, len(networks))
    lines = math.ceil(len(networks) / columns)
    width = COLUMN_INCHES + 1 if columns == 1 else PAGE_INCHES
    height = 0.8 + lines * (0.4 + 0.2 * len(names))
    figure = Figure((width, height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    spread = np.linspace(-0.18, 0.18, len(steps)) if len(steps) > 1 else [0.0]
    for axes, network in zip(grid.flat, networks, strict=False):
        for count, shift in zip(steps, spread, strict=True):
            rows = table[(table["network"] == network) & (table["network_steps"] == count)]
            for row in rows.itertuples():
                y = names.index(row.variant) + shift
                colour, marker = KIND_LOOKS.get(row.kind, (BLACK, "D"))
                face = "white" if count == steps[0] and len(steps) > 1 else colour
                axes.plot([row.low, row.high], [y, y], color=colour, linewidth=1)
                axes.plot(row.pearson_r, y, marker, color=colour, markerfacecolor=face)
                if row.variant == unchanged:
                    axes.axvspan(row.low, row.high, color="0.5", alpha=0.15, linewidth=0)
        axes.set_title(f"{network}, n = {table[table['network'] == network]['seeds'].max()}")
        axes.grid(True)
    for axes in grid.flat[len(networks) :]:
        axes.set_axis_off()
    low = min(0.0, table["low"].min() - 0.03)
    grid[0, 0].set(
        xlim=(low, 1.02),
        ylim=(len(names) - 0.5, -0.5),
        yticks=range(len(names)),
        yticklabels=[name.replace("_", " ") for name in names],
    )
    figure.supxlabel("median Pearson r of ELS and network, 95% interval", fontsize=7)
    keys = [key(colour, marker, kind) for kind, (colour, marker) in KIND_LOOKS.items()]
    keys = [key(BLACK, "D", unchanged), *keys]
    if len(steps) > 1:
        faces = ["white", *["0.3"] * (len(steps) - 1)]
        keys += [key(f, "o", f"{n} network steps") for f, n in zip(faces, steps, strict=True)]
    figure.legend(handles=keys, loc="outside upper center", ncols=3 if columns == 1 else len(keys))
    return figure


@style()
def learning_curves(table: pd.DataFrame) -> Figure:
    """Agreement of machines and a network during its training, a panel for each network.

    Medians over seeds with their 95% intervals; an undefined r counts as 0. The first point, before
    any image, is the network that the training began with.

    Args:
        table: network, network_steps, machine, images_seen, seed, pearson_r.
    """
    networks = list(table.groupby("network", sort=False))
    columns = min(3, len(networks))
    lines = math.ceil(len(networks) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 2.1 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    shown = [m for m in MACHINES if m in set(table["machine"])]
    seen = sorted(set(table["images_seen"]) - {0})
    begin = seen[0] / 3  # where the untrained network stands on the logarithmic axis
    for axes, (network, group) in zip(grid.flat, networks, strict=False):
        for machine in shown:
            rows = group[group["machine"] == machine]
            medians = median_intervals(rows, "images_seen", "pearson_r")
            x = np.maximum(medians.index, begin)
            interval_line(axes, x, medians, MACHINE_LOOKS[machine])
        steps = group["network_steps"].iloc[0]
        axes.set_title(f"{network}\n{steps} steps, n = {group['seed'].nunique()}", fontsize=6.5)
        axes.grid(True)
    ticks = [tick for tick in SEEN_TICKS if seen[0] <= tick <= seen[-1]]
    grid[0, 0].set(xscale="log", ylim=(min(0.0, table["pearson_r"].min()), 1.02))
    grid[0, 0].set_xticks([begin, *ticks], ["0", *(f"{tick:,}" for tick in ticks)])
    grid[0, 0].minorticks_off()
    for axes in grid.flat[len(networks) :]:
        axes.set_axis_off()
    figure.supxlabel("training images seen (logarithmic after the untrained network)", fontsize=7)
    figure.supylabel("Pearson r of machine and network", fontsize=7)
    legend(figure, shown, [])
    return figure
