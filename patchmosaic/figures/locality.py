"""How far networks look, and the locality scales of the machines (the paper's figure 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from patchmosaic.figures.style import (
    BLACK,
    BLUE,
    COLUMN_INCHES,
    GREEN,
    ORANGE,
    PAGE_INCHES,
    PURPLE,
    SKY,
    VERMILLION,
    style,
)

CURVE_COLOURS = (BLUE, VERMILLION, GREEN, BLACK, ORANGE, PURPLE, SKY)
CURVE_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
CURVE_MARKERS = "os^Dv<>"


@style()
def scales(table: pd.DataFrame, *, curves: int = 6) -> Figure:
    """The calibrated patch size P(t) of every network (the paper's figure 4b).

    The curves of a panel are moved apart by a fraction of a pixel, so that coinciding ones stay
    visible; P itself is always an odd integer. Vertical lines reach from the smallest to largest
    best P of single trajectories.

    Args:
        table: network, t, patch_size (the locality scale P in pixels), smallest, largest (best P of
            a trajectory), trajectories (how many).
        curves: most networks in one panel.
    """
    if table.empty:
        raise ValueError("there are no scales to draw")
    networks = list(table.sort_values("t").groupby(["network", "trajectories"], sort=False))
    networks.sort(key=lambda named: list(table["network"]).index(named[0][0]))
    panels = math.ceil(len(networks) / curves)
    curves = math.ceil(len(networks) / panels)
    width = COLUMN_INCHES if panels == 1 else PAGE_INCHES
    figure = Figure((width, 2.3 + 0.13 * curves), layout="constrained")
    grid = figure.subplots(1, panels, squeeze=False, sharex=True, sharey=True)[0]
    for i, ((network, n), found) in enumerate(networks):
        place = i % curves - (curves - 1) / 2
        colour = CURVE_COLOURS[i % curves % len(CURVE_COLOURS)]
        apart, later = 0.24 * place, 0.005 * place
        grid[i // curves].vlines(
            found["t"] + later,
            found["smallest"] + apart,
            found["largest"] + apart,
            colors=colour,
            linewidths=0.6,
            alpha=0.6,
        )
        grid[i // curves].step(
            found["t"],
            found["patch_size"] + apart,
            where="mid",
            color=colour,
            linestyle=CURVE_DASHES[i % curves % len(CURVE_DASHES)],
            marker=CURVE_MARKERS[i % curves % len(CURVE_MARKERS)],
            markersize=2.5,
            linewidth=1,
            label=f"{network}, n = {n}",
        )
    largest = int(table[["patch_size", "largest"]].max(axis=None))
    every = 2 * math.ceil(largest / 20)
    for axes in grid:
        axes.set(xlim=(0, 1.02), ylim=(0, largest + 1.5), yticks=range(1, largest + 1, every))
        axes.grid(True, axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.22), handlelength=3.5)
        axes.set_xlabel("time t of the reverse process (1: noise, 0: image)")
    grid[0].set_ylabel("locality scale P(t) (pixels)")
    return figure


def share_inside(gradient: np.ndarray, patch_size: int) -> float:
    """Share of an absolute gradient (H, W) within the P x P patch around the central pixel."""
    (height, width), half = gradient.shape, patch_size // 2
    rows = slice(max(0, height // 2 - half), height // 2 + half + 1)
    cols = slice(max(0, width // 2 - half), width // 2 + half + 1)
    return float(np.sum(gradient[rows, cols]) / np.sum(gradient))


@style()
def sharpness(
    cosines: Mapping[str, pd.DataFrame],
    scales_by_network: Mapping[str, Mapping[float, int]],
    *,
    moments: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
) -> Figure:
    """How much worse every other patch size predicts a network than the best does, at some times.

    Drawn is 1 - cosine of the ELS machine's and the network's predicted noise, the median over
    trajectories, a curve for each time and a panel for each network. A large marker is the
    calibrated P, the median over trajectories of the best P of each; where a curve is flat, P is
    uncertain.

    Args:
        cosines: for each network a table of t, trajectory, patch_size, cosine.
        scales_by_network: for each network the calibrated P in pixels at each time.
        moments: of these times the calibrated ones nearest to them are drawn.
    """
    columns = min(3, len(cosines))
    lines = math.ceil(len(cosines) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 2.0 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    looks = list(zip(CURVE_COLOURS, CURVE_MARKERS, strict=True))[: len(moments)]
    for axes, (network, table) in zip(grid.flat, cosines.items(), strict=False):
        found = scales_by_network[network]
        misses = 1 - table.groupby(["t", "patch_size"])["cosine"].median()
        times = [min(found, key=lambda t, m=moment: abs(t - m)) for moment in moments]
        for t, (colour, marker) in zip(times, looks, strict=True):
            curve = misses[min(misses.index.levels[0], key=lambda other, t=t: abs(other - t))]
            axes.plot(curve.index, curve, color=colour, marker=marker, markersize=2)
            if found[t] in curve.index:
                axes.plot(found[t], curve[found[t]], marker, color=colour, markersize=6)
        axes.set_title(f"{network}\nn = {table['trajectory'].nunique()} trajectories", fontsize=6.5)
        axes.grid(True)
    grid[0, 0].set(yscale="log")
    for axes in grid.flat[len(cosines) :]:
        axes.set_axis_off()
    figure.supxlabel("patch size P in pixels (large marker: calibrated)", fontsize=7)
    figure.supylabel("1 - cosine with the network's noise", fontsize=7)
    keys = [
        Line2D([], [], color=colour, marker=marker, markersize=3, label=f"t = {t:g}")
        for t, (colour, marker) in zip(times, looks, strict=True)
    ]
    ncols = len(keys) if columns > 1 else 3
    figure.legend(handles=keys, loc="outside upper center", ncols=ncols)
    return figure


@style()
def jacobians(
    maps_by_network: Mapping[str, Mapping[float, ArrayLike]],
    scales_by_network: Mapping[str, Mapping[float, int]],
    n: int,
    *,
    floor: float = 1e-3,
) -> Figure:
    """How far networks look, over time, beside the calibrated P (the paper's figure 4a).

    Args:
        maps_by_network: for each network and time, the mean absolute input gradient of the central
            output pixel, (H, W).
        scales_by_network: for each network the locality scale P in pixels at each of these times,
            drawn as a box.
        n: number of noise seeds that the gradients are averaged over.
        floor: smallest value that is told apart, as a share of the largest of its map.
    """
    if not maps_by_network or set(maps_by_network) != set(scales_by_network):
        raise ValueError("every network needs its gradients and its scales")
    times = sorted(next(iter(maps_by_network.values())), reverse=True)
    columns = len(times)
    cell = (PAGE_INCHES - 0.9) / max(columns, 4)
    height = 0.6 + (cell + 0.2) * len(maps_by_network)
    figure = Figure((0.9 + cell * columns, height), layout="constrained")
    grid = figure.subplots(len(maps_by_network), columns, squeeze=False)
    for axes, t in zip(grid[0], times, strict=True):
        axes.set_title(f"t = {t:.2f}")
    for line, (network, maps) in zip(grid, maps_by_network.items(), strict=True):
        line[0].set_ylabel(network.replace("-", "\n"), rotation=0, ha="right", va="center")
        for axes, t in zip(line, times, strict=True):
            gradient, patch_size = np.asarray(maps[t]), scales_by_network[network][t]
            shown = np.maximum(gradient / gradient.max(), floor)
            drawn = axes.imshow(shown, cmap="magma", norm=LogNorm(floor, 1))
            corner = [side // 2 - patch_size / 2 for side in gradient.shape[::-1]]
            axes.add_patch(Rectangle(corner, patch_size, patch_size, fill=False, ec=SKY, lw=1))
            share = share_inside(gradient, patch_size)
            axes.set_xlabel(f"P = {patch_size}: {share:.0%}", labelpad=2, fontsize=6)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=grid, location="bottom", shrink=0.5, aspect=40, pad=0.02)
    bar.set_label(
        f"mean |gradient| of the central output pixel, relative to its largest (n = {n} seeds); "
        "box: P and the share inside"
    )
    return figure
