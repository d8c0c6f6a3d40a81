"""The leaderboard: predictors of each network from the best median down."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from patchmosaic.figures.style import NETWORK_LOOK, PAGE_INCHES, key, machine_looks, panels, style

ROW_INCHES = 0.135  # of a predictor


@style()
def leaderboard_chart(table: pd.DataFrame) -> Figure:
    """Median r of every predictor with its interval, a panel a network, from the best down.

    Filled markers are of the most network steps, whose medians give the order, white ones of fewer.
    What sees the network's weights is a yardstick without rank: a line through the panel.

    Args:
        table: as :func:`patchmosaic.tables.leaderboard.leaderboard` makes it.
    """
    groups = [group for _, group in table.groupby("network", sort=False)]
    steps = sorted(table["network_steps"].unique(), reverse=True)
    line = 0.45 + ROW_INCHES * max(group["machine"].nunique() for group in groups)
    figure, grid = panels(len(groups), 2, line=line, alone=PAGE_INCHES / 2, sharey=False)
    for axes, group in zip(grid, groups, strict=True):
        _panel(axes, group, steps)
    low = float(table["pearson_r_low"].min())
    grid[0].set_xlim(min(0.0, low - 0.03), 1.02)
    few, many = table["seeds"].min(), table["seeds"].max()
    n = f"{many}" if few == many else f"{few} to {many}"
    figure.supxlabel(f"median Pearson r with the network, n = {n} seeds, 95% interval", fontsize=7)
    keys = [
        key("0.3" if i == 0 else "white", "o", f"{count} network steps")
        for i, count in enumerate(steps)
    ]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
    return figure


def _panel(axes: Axes, group: pd.DataFrame, steps: list[int]) -> None:
    """The predictors of one network."""
    first = group[group["network_steps"] == group["network_steps"].max()]
    order = list(first.sort_values("pearson_r", ascending=False, kind="stable")["machine"])
    named = group.drop_duplicates("machine").set_index("machine").loc[order]
    looks = machine_looks(order)
    shifts = np.linspace(-0.2, 0.2, len(steps)) if len(steps) > 1 else np.zeros(1)
    for row in group.to_dict("records"):
        colour, marker = looks.get(row["machine"], NETWORK_LOOK)
        i = steps.index(row["network_steps"])
        r = row["pearson_r"]
        bounds = [[r - row["pearson_r_low"]], [row["pearson_r_high"] - r]]
        axes.errorbar(
            r,
            order.index(row["machine"]) + shifts[i],
            xerr=bounds,
            color=colour,
            fmt=marker,
            markerfacecolor=colour if i == 0 else "white",
            markersize=3,
            elinewidth=0.8,
            zorder=3,
        )
        if row["sees"] == "weights" and i == 0:
            axes.axvline(r, color=colour, linewidth=0.7, linestyle=(0, (4, 2)))
    words = [
        row["label"] + ("" if row["sees"] == "none" else f", {row['sees']}")
        for row in named.to_dict("records")
    ]
    axes.set(
        ylim=(len(order) - 0.4, -0.6),
        yticks=range(len(order)),
        yticklabels=words,
        title=group["network"].iloc[0],
    )
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)


def draw(*, table: str) -> Figure:
    """The figure from the file of the table."""
    return leaderboard_chart(pd.read_csv(table))
