"""Local consistency over time."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from patchmosaic.figures.style import style
from patchmosaic.figures.trajectories import along_trajectories


@style()
def consistency_along_trajectories(table: pd.DataFrame) -> Figure:
    """Locally inconsistent pixels of the predicted x_0 over time, a panel for each network.

    Args:
        table: network, source ("network" or a machine), and the columns of
            :func:`patchmosaic.analysis.consistency.consistency_over_time`.
    """
    figure = along_trajectories(table, "inconsistent", "inconsistent pixels")
    figure.axes[0].set_ylim(bottom=-0.02)
    figure.axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def draw(*, tables: Sequence[str]) -> Figure:
    """The figure from the files of every network."""
    return consistency_along_trajectories(pd.concat(map(pd.read_csv, tables)))
