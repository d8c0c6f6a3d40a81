"""Machine and network from noise to image: agreement over time, and an animation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from patchmosaic.figures.pairs import pairs
from patchmosaic.figures.style import (
    COLUMN_INCHES,
    MACHINE_LOOKS,
    NETWORK_LOOK,
    PAGE_INCHES,
    legend,
    source_key,
    style,
)
from patchmosaic.headline import MACHINES
from patchmosaic.statistics import pearson_r

if TYPE_CHECKING:  # it needs torch
    from patchmosaic.trajectories import Trajectory


@style()
def agreement_along_trajectories(table: pd.DataFrame) -> Figure:
    """Pearson r of the predicted x_0 over time, a panel for each network.

    Args:
        table: network, machine, and the columns of
            :func:`patchmosaic.trajectories.agreement_over_time`.
    """
    table = table.rename(columns={"machine": "source"})
    figure = _along_trajectories(table, "mean_r", "Pearson r of the predicted images")
    figure.axes[0].set_ylim(min(0, table["mean_r"].min()), 1.02)
    return figure


@style()
def consistency_along_trajectories(table: pd.DataFrame) -> Figure:
    """Locally inconsistent pixels of the predicted x_0 over time, a panel for each network.

    Args:
        table: network, source ("network" or a machine), and the columns of
            :func:`patchmosaic.consistency.consistency_over_time`.
    """
    figure = _along_trajectories(table, "inconsistent", "inconsistent pixels")
    figure.axes[0].set_ylim(bottom=-0.02)
    figure.axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def _along_trajectories(table: pd.DataFrame, column: str, label: str) -> Figure:
    """Median and single seeds of a column over time, a panel for each network."""
    networks = list(table.groupby("network", sort=False))
    columns = min(4, len(networks))
    lines = math.ceil(len(networks) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 1.75 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    shown = [s for s in ("network", *MACHINES) if s in set(table["source"])]
    for axes, (network, group) in zip(grid.flat, networks, strict=False):
        for source in shown:
            colour, marker = MACHINE_LOOKS.get(source, NETWORK_LOOK)
            wide = group[group["source"] == source].pivot(index="t", columns="seed", values=column)
            axes.plot(wide.index, wide, color=colour, linewidth=0.5, alpha=0.35)
            middle = wide.median(axis=1)
            every = max(1, len(middle) // 5)
            axes.plot(middle, color=colour, marker=marker, markersize=3, markevery=every)
        axes.set_title(f"{network}\nn = {group['seed'].nunique()} seeds", fontsize=6.5)
        axes.grid(True)
    grid[0, 0].set_xlim(1.02, -0.02)
    for axes in grid.flat[len(networks) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(networks) - columns) : len(networks)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("time t of the reverse process (1: noise, 0: image)", fontsize=7)
    figure.supylabel(label, fontsize=7)
    legend(figure, shown, [source_key("network", NETWORK_LOOK)] if "network" in shown else [])
    return figure


def denoising_frames(
    trajectories: Mapping[str, Trajectory], seeds: Sequence[int], title: str
) -> Iterator[Figure]:
    """A figure for each time: x_t and predicted x_0 of the network and of a machine.

    Args:
        trajectories: of "network" first, then of one machine, of the same times.
        seeds: (B,), the column heads.
        title: above each frame; the time is added.
    """
    (_, network), (name, machine) = trajectories.items()
    for i, t in enumerate(network.times):
        mean = f"{name.upper()}\npredicted image"
        rows = {
            "network\nnoisy image": network.states[i],
            "network\npredicted image": network.means[i],
            f"{name.upper()}\nnoisy image": machine.states[i],
            mean: machine.means[i],
        }
        r = {mean: pearson_r(machine.means[i], network.means[i])}
        yield pairs(rows, seeds, f"{title}, t = {t:.2f}", correlations=r)


def save_animation(
    frames: Iterable[Figure], path: str | Path, *, milliseconds: int = 300, dpi: int = 300
) -> None:
    """Write frames as an animated .png (or .gif) that repeats and rests on its last frame.

    A viewer that does not animate shows the first frame, so the last one also comes first.
    """
    pictures = []
    with style():
        for figure in frames:
            figure.set_dpi(dpi)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    pictures = [pictures[-1], *pictures[:-1]]
    durations = [6 * milliseconds] + [milliseconds] * (len(pictures) - 1)
    first, *others = pictures
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0)
