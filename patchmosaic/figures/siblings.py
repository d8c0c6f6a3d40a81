"""Networks with each other, beside ELS."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchmosaic.figures.style import (
    BLACK,
    BLUE,
    COLUMN_INCHES,
    VERMILLION,
    style,
)


@style()
def siblings(table: pd.DataFrame) -> Figure:
    """How networks of the same images agree with each other, beside their agreement with ELS.

    Args:
        table: a, b, network_steps and the columns of
            :func:`patchmosaic.analysis.agreement.siblings`.
    """
    if table.empty:
        raise ValueError("there are no networks of the same images")
    figure = Figure((COLUMN_INCHES + 1, 0.8 + 0.55 * len(table)), layout="constrained")
    axes = figure.subplots()
    looks = (
        ("pearson_r", "", BLACK, "D", "both networks"),
        ("els_a", "els_a_", BLUE, "o", "ELS and the first"),
        ("els_b", "els_b_", VERMILLION, "s", "ELS and the second"),
    )
    for i, row in enumerate(table.to_dict("records")):
        for (column, prefix, colour, marker, _), shift in zip(looks, (-0.22, 0, 0.22), strict=True):
            ends = [row[f"{prefix}low"], row[f"{prefix}high"]]
            axes.plot(ends, [i + shift] * 2, color=colour, linewidth=1)
            axes.plot(row[column], i + shift, marker, color=colour)
    names = [f"{r.a}\n{r.b}\n{r.network_steps} steps" for r in table.itertuples()]
    few, many = table["seeds"].min(), table["seeds"].max()
    n = f"{many}" if few == many else f"{few} to {many}"
    axes.set(
        xlim=(min(0.5, table.filter(like="low").min().min() - 0.03), 1.01),
        ylim=(len(table) - 0.5, -0.5),
        yticks=range(len(table)),
        yticklabels=names,
        xlabel=f"median Pearson r, n = {n} seeds, 95% interval",
    )
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    keys = [
        Line2D([], [], linestyle="", color=colour, marker=marker, label=text)
        for *_, colour, marker, text in looks
    ]
    figure.legend(handles=keys, loc="outside upper center", ncols=3)
    return figure


def draw(*, table: str) -> Figure:
    """The figure from the file of the table of siblings."""
    return siblings(pd.read_csv(table))
