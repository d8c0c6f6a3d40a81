"""r, r^2 and R^2 side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchmosaic.analysis.intervals import bootstrap_median, with_undefined_as_zero
from patchmosaic.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    PAGE_INCHES,
    VERMILLION,
    key,
    style,
)
from patchmosaic.tables.headline import DESCRIPTION, with_copies
from patchmosaic.tables.paper import load_paper

MEASURES = {
    "pearson_r": ("Pearson r", BLUE, "o"),
    "r_squared": ("r²", VERMILLION, "s"),
    "r2_determination": ("R²", GREEN, "D"),
}


@style()
def measures(agreement: pd.DataFrame, paper: pd.DataFrame, *, low: float = -0.25) -> Figure:
    """r, r^2 and R^2 of ELS and network side by side, a point a seed, beside the paper's number.

    Args:
        agreement: network, dataset, architecture, padding, conditional, network_steps, machine,
            pearson_r, r_squared, r2_determination; rows of ELS are drawn.
        paper: the rows of the paper's tables, with column els.
        low: where the axis begins; values below are drawn there, and counted.
    """
    table = agreement[agreement["machine"] == "els"]
    if table.empty:
        raise ValueError("agreement has no rows of ELS")
    run = [*DESCRIPTION, "network_steps"]
    paper = with_copies(paper, table["dataset"])
    table = table.merge(paper[[*run, "els"]], how="left", on=run)
    runs = list(table.groupby(["network", "network_steps"]))
    figure = Figure((PAGE_INCHES, 0.8 + 0.5 * len(runs)), layout="constrained")
    axes = figure.subplots()
    for i, (_, group) in enumerate(runs):
        for (column, (_, colour, marker)), shift in zip(
            MEASURES.items(), (-0.25, 0, 0.25), strict=True
        ):
            values = with_undefined_as_zero(group[column])
            shown = values.clip(lower=low)
            y = np.full(len(values), i + shift)
            axes.scatter(shown, y, 9, colour, marker=marker, alpha=0.4, linewidths=0)
            middle, *ends = (max(bound, low) for bound in bootstrap_median(values))
            axes.plot([middle] * 2, [i + shift - 0.1, i + shift + 0.1], color=colour, linewidth=2)
            axes.plot(ends, [i + shift] * 2, color=colour, linewidth=1)
            below = int((values < low).sum())
            if below:
                text = axes.text(
                    low + 0.015, i + shift, f"{below} below", va="center", fontsize=5.5
                )
                text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        paper_els = group["els"].iloc[0]
        axes.plot([paper_els] * 2, [i - 0.38, i + 0.38], color=BLACK, linewidth=0.8, zorder=3)
        axes.plot(paper_els, i + 0.38, "d", color=BLACK, markerfacecolor="white", zorder=4)
    for boundary in np.arange(1, len(runs)) - 0.5:
        axes.axhline(boundary, color="0.88", linewidth=0.5)
    names = [f"{network}\n{steps} steps, n = {len(group)}" for (network, steps), group in runs]
    axes.set(
        xlim=(low - 0.02, 1.02),
        ylim=(len(runs) - 0.5, -0.5),
        yticks=range(len(runs)),
        yticklabels=names,
        xlabel="agreement of ELS and network, a point a seed; bars: medians, 95% intervals",
    )
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
    keys = [
        Line2D([], [], linestyle="", color=colour, marker=marker, label=text)
        for text, colour, marker in MEASURES.values()
    ]
    figure.legend(
        handles=[*keys, key("white", "d", "paper's median, called r²")],
        loc="outside upper center",
        ncols=4,
    )
    return figure


def draw(*, agreement: str, paper: str) -> Figure:
    """The figure from the files of the agreement and of the paper's numbers."""
    return measures(pd.read_csv(agreement), load_paper(paper).rows)
