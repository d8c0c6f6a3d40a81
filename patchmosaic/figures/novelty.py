"""How far samples and held-out images are from the training images."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.figures.style import (
    COLUMN_INCHES,
    VERMILLION,
    machine_looks,
    panels,
    style,
)
from patchmosaic.machines.registry import label
from patchmosaic.publish.names import HELD_OUT


@style()
def novelty(table: pd.DataFrame) -> Figure:
    """How far samples and held-out images are from the training images, a panel for each network.

    Args:
        table: network, source ("held-out images", "network, 20 steps", "els", ...), and the columns
            of :func:`patchmosaic.analysis.novelty.novelty`.
    """
    import seaborn  # which takes two seconds, and other figures do not need

    networks = list(table.groupby("network", sort=False))
    sources = list(dict.fromkeys(table["source"]))
    most, each = (2, 0.22) if len(networks) <= 4 else (3, 0.16)  # in a line; inches
    line = 0.35 + each * len(sources)
    figure, grid = panels(len(networks), most, line=line, beside=0.4, alone=COLUMN_INCHES + 0.5)
    reach = 1.35 * table["distance"].max()
    machines = machine_looks(sources)
    colours = {source: machines.get(source, (VERMILLION, "o"))[0] for source in sources}
    colours[HELD_OUT] = "0.45"
    looks = {"x": "distance", "y": "source", "order": sources, "hue": "source", "palette": colours}
    for axes, (network, group) in zip(grid, networks, strict=True):
        options = {**looks, "ax": axes, "legend": False}
        seaborn.boxplot(group, **options, whis=(5, 95), showfliers=False, fill=False, width=0.6)
        few = group.groupby("source")["distance"].transform("size") <= 100
        seaborn.stripplot(group[few], **options, size=2.2, alpha=0.5, jitter=False)
        axes.set(xlabel="", ylabel="")
        for i, source in enumerate(sources):
            rows = group[group["source"] == source]
            text = f"{rows['copy'].sum()} of {len(rows)}" if len(rows) else ""
            axes.text(reach * 0.99, i, text, ha="right", va="center", fontsize=6)
        axes.set_title(network)
        axes.grid(True, axis="x")
    names = [label(source) if source in machines else source for source in sources]
    grid[0].set(xlim=(0, reach), ylim=(len(sources) - 0.5, -0.5), yticks=range(len(sources)))
    grid[0].set_yticklabels(names)
    figure.supxlabel(
        "distance to the nearest training image (root mean square,"
        + ("\n" if len(networks) == 1 else " ")
        + "pixels in [-1, 1]); right: copies",
        fontsize=7,
    )
    return figure


def draw(*, tables: Sequence[str]) -> Figure:
    """The figure from the files of every network."""
    return novelty(pd.concat(map(pd.read_csv, tables)))
