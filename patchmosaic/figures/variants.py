"""Agreement under every control and ablation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.figures.style import (
    BLACK,
    BLUE,
    COLUMN_INCHES,
    GREEN,
    VERMILLION,
    key,
    panels,
    style,
)

KIND_LOOKS = {
    "control": (VERMILLION, "s"),
    "ablation": (BLUE, "o"),
    "yardstick": (GREEN, "^"),
}


@style()
def variants(table: pd.DataFrame, *, unchanged: str) -> Figure:
    """Median agreement of ELS and network under every control and ablation, with intervals.

    A panel for each network, and a marker, full or open, for each number of network steps. The
    vertical bands are the intervals of the chain as it is.

    Args:
        table: as :func:`patchmosaic.analysis.variants.variants_table` makes it.
        unchanged: the name of the chain as it is.
    """
    networks = list(dict.fromkeys(table["network"]))
    steps = sorted(table["network_steps"].unique())
    order = {k: i for i, k in enumerate(("", *KIND_LOOKS))}
    ranked = table.sort_values("kind", key=lambda kinds: kinds.fillna("").map(order), kind="stable")
    names = list(dict.fromkeys(ranked["variant"]))
    line = 0.4 + 0.2 * len(names)
    figure, grid = panels(len(networks), 3, line=line, beside=0.8, alone=COLUMN_INCHES + 1)
    spread = np.linspace(-0.18, 0.18, len(steps)) if len(steps) > 1 else [0.0]
    for axes, network in zip(grid, networks, strict=True):
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
    low = min(0.0, table["low"].min() - 0.03)
    grid[0].set(
        xlim=(low, 1.02),
        ylim=(len(names) - 0.5, -0.5),
        yticks=range(len(names)),
        yticklabels=[name.replace("_", " ") for name in names],
    )
    figure.supxlabel("median Pearson r of ELS and network, 95% interval", fontsize=7)
    kinds = set(table["kind"])
    keys = [key(*look, kind) for kind, look in KIND_LOOKS.items() if kind in kinds]
    keys = [key(BLACK, "D", unchanged), *keys]
    if len(steps) > 1:
        faces = ["white", *["0.3"] * (len(steps) - 1)]
        keys += [key(f, "o", f"{n} network steps") for f, n in zip(faces, steps, strict=True)]
    ncols = len(keys) if len(networks) > 1 else 3
    figure.legend(handles=keys, loc="outside upper center", ncols=ncols)
    return figure


def draw(*, table: str, unchanged: str) -> Figure:
    """The figure from the file of the medians of every variant."""
    return variants(pd.read_csv(table), unchanged=unchanged)
