"""Agreement of IS against that of the other machines."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import bootstrap_median, with_undefined_as_zero
from patchmosaic.figures.style import (
    COLUMN_INCHES,
    PAGE_INCHES,
    key,
    legend,
    machine_looks,
    panels,
    style,
)
from patchmosaic.machines.registry import label, ordered

MOST_NOTED = 4  # machines of which there is room to say how often they are above the diagonal
MOST_LARGE = 12  # panels that stand three in a line; more of them are small, six in a line


@style()
def scatter_is_vs_machine(agreement: pd.DataFrame) -> Figure:
    """Agreement of IS against that of the machines, a point a seed (the paper's figures 10 to 12).

    A panel for each network and number of steps; points above the diagonal are seeds where the
    machine agrees better than IS. The large marker is the median with its 95% intervals. Seeds
    whose correlation is undefined cannot be drawn; the panel says how many. Of a few machines it
    also says how often each is above the diagonal, which the headline table says of all.

    Args:
        agreement: network, network_steps, machine, pearson_r, is_pearson_r; rows of machine "is"
            are left out.
    """
    table = agreement[agreement["machine"] != "is"]
    if table.empty:
        raise ValueError("agreement has no machine other than IS")
    runs = list(table.groupby(["network", "network_steps"]))
    small = len(runs) > MOST_LARGE
    columns = min(6 if small else 3, len(runs))
    side = COLUMN_INCHES if columns == 1 else PAGE_INCHES / columns
    figure, grid = panels(len(runs), columns, line=side + (0.2 if small else 0.3), beside=0)
    title_size = 5.0 if small else 7.5
    values = table[["pearson_r", "is_pearson_r"]].to_numpy()
    low = min(0.0, float(np.nanmin(values)) - 0.05)
    looks = machine_looks(table["machine"])
    for axes, ((network, steps), group) in zip(grid, runs, strict=True):
        axes.plot([low, 1], [low, 1], color="0.6", linewidth=0.8, zorder=1)
        notes, undefined = [], 0
        for machine in ordered(group["machine"]):
            colour, marker = looks[machine]
            rows = group[group["machine"] == machine]
            x, y = rows["is_pearson_r"], rows["pearson_r"]
            axes.scatter(x, y, 3 if small else 9, colour, marker=marker, alpha=0.55, linewidths=0)
            middle = [bootstrap_median(with_undefined_as_zero(values)) for values in (x, y)]
            errors = [[[m.estimate - m.low], [m.high - m.estimate]] for m in middle]
            axes.errorbar(
                middle[0].estimate,
                middle[1].estimate,
                xerr=errors[0],
                yerr=errors[1],
                color=colour,
                marker=marker,
                markersize=4 if small else 7,
                markeredgecolor="white",
                elinewidth=1,
                zorder=3,
            )
            if len(looks) <= MOST_NOTED and not small:
                above = int((y > x).sum())
                notes.append(f"{label(machine)} above IS: {above} of {len(rows)}")
            undefined += int((x.isna() | y.isna()).sum())
        if undefined:
            notes.append(f"{undefined} undefined, not drawn")
        named = network.replace("-", "-\n", 1) if small else network
        axes.set_title(f"{named}\n{steps} network steps", fontsize=title_size)
        axes.text(0.98, 0.02, "\n".join(notes), ha="right", va="bottom", transform=axes.transAxes)
        axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal")
        axes.grid(True)
    figure.supxlabel("IS and network: Pearson r", fontsize=7)
    figure.supylabel("machine and network: Pearson r", fontsize=7)
    legend(figure, looks, [key("none", "o", "large: median and 95% interval")])
    figure.draw_without_rendering()  # the layout of square panels settles with its second pass
    return figure


def draw(*, table: str) -> Figure:
    """The figure from the file of the agreement of every seed."""
    return scatter_is_vs_machine(pd.read_csv(table))
