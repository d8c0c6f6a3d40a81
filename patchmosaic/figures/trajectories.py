"""Machine and network from noise to image: agreement over time, and an animation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
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
    interval_line,
    legend,
    source_key,
    style,
)
from patchmosaic.headline import MACHINES
from patchmosaic.statistics import median_intervals, pearson_r

if TYPE_CHECKING:  # it needs torch
    from patchmosaic.trajectories import Trajectory

WIDE_INTERVAL = 0.2  # of a median Pearson r, from end to end


@style()
def agreement_along_trajectories(table: pd.DataFrame) -> Figure:
    """Pearson r of the predicted x_0 over time, a panel for each network; undefined counts as 0.

    Args:
        table: network, machine, and the columns of
            :func:`patchmosaic.trajectories.agreement_over_time`.
    """
    table = table.rename(columns={"machine": "source"})
    figure = _along_trajectories(table, "mean_r", "Pearson r of the predicted images")
    figure.axes[0].set_ylim(min(0, table["mean_r"].min()), 1.02)
    return figure


@style()
def bands_along_trajectories(table: pd.DataFrame) -> Figure:
    """Pearson r of the predicted x_0 over time and spatial frequency: machines by networks.

    Medians over seeds; dots where the 95% interval of the median is wider than WIDE_INTERVAL.

    Args:
        table: network, machine, and the columns of
            :func:`patchmosaic.trajectories.band_agreement_over_time`.
    """
    networks = list(dict.fromkeys(table["network"]))
    shown = [m for m in MACHINES if m in set(table["machine"])]
    columns = min(4, len(networks))
    lines = math.ceil(len(networks) / columns) * len(shown)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.9 + 1.1 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True)
    colours = matplotlib.colormaps["viridis"].with_extremes(under="0.75")
    for (row, column), axes in np.ndenumerate(grid):
        block, machine = divmod(row, len(shown))
        if block * columns + column >= len(networks):
            axes.set_axis_off()
            continue
        network = networks[block * columns + column]
        group = table[(table["network"] == network) & (table["machine"] == shown[machine])]
        medians = median_intervals(group, ["low", "t"], "r").unstack()
        wide = medians["estimate"]
        edges, t = [*wide.index, group["high"].max()], wide.columns.to_numpy()
        between = np.concatenate([[t[0]], (t[1:] + t[:-1]) / 2, [t[-1]]])
        heat = axes.pcolormesh(
            between, range(len(edges)), wide, cmap=colours, vmin=0, vmax=1, rasterized=True
        )
        wide_bands, moments = np.nonzero(medians["high"] - medians["low"] > WIDE_INTERVAL)
        middles = (between[1:] + between[:-1])[moments] / 2
        axes.scatter(middles, wide_bands + 0.5, 3, "white", edgecolors="0.2", linewidths=0.3)
        axes.set_yticks(range(len(edges)), [f"{edge:g}" for edge in edges])
        if machine == 0:
            axes.set_title(f"{network}\nn = {group['seed'].nunique()} seeds", fontsize=6.5)
        if column == 0:
            axes.set_ylabel(shown[machine].upper())
        if (block + 1) * columns + column >= len(networks) and machine == len(shown) - 1:
            axes.tick_params(labelbottom=True)
    grid[0, 0].set_xlim(1, 0)
    figure.supxlabel("time t of the reverse process (1: noise, 0: image)", fontsize=7)
    figure.supylabel("spatial frequency (cycles an image)", fontsize=7)
    bar = figure.colorbar(heat, ax=grid, aspect=12 * lines, extend="min")
    bar.set_label("Pearson r within the band")
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
    """Medians of a column over time with their 95% intervals, a panel for each network."""
    networks = list(table.groupby("network", sort=False))
    columns = min(4, len(networks))
    lines = math.ceil(len(networks) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 1.75 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    shown = [s for s in ("network", *MACHINES) if s in set(table["source"])]
    for axes, (network, group) in zip(grid.flat, networks, strict=False):
        for source in shown:
            medians = median_intervals(group[group["source"] == source], "t", column)
            look = MACHINE_LOOKS.get(source, NETWORK_LOOK)
            interval_line(axes, medians.index, medians, look)
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
