"""The figures, in one style: colour-blind safe, readable in gray, at the width of a column.

Every function takes arrays or tables and returns a matplotlib Figure; :func:`save_figure` writes
the same bytes for the same figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from patchmosaic.headline import MACHINES

COLUMN_INCHES, PAGE_INCHES = 3.25, 6.75  # one and both columns of the ICML format
# Okabe and Ito's colours, from dark to light in gray as well.
BLACK, BLUE, VERMILLION, GREEN, SKY, ORANGE, PURPLE = (
    "#000000",
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#56B4E9",
    "#E69F00",
    "#CC79A7",
)
MACHINE_LOOKS = {"els": (BLUE, "o"), "ls": (ORANGE, "s"), "es": (GREEN, "D"), "is": (BLACK, "^")}
CURVE_COLOURS = (BLUE, VERMILLION, GREEN, BLACK, ORANGE, PURPLE, SKY)
CURVE_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
CURVE_MARKERS = "os^Dv<>"


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, restored afterwards; it also decorates functions that draw."""
    with matplotlib.rc_context(
        {
            "font.family": "DejaVu Sans",  # comes with matplotlib, so looks the same everywhere
            "font.size": 7,
            "axes.titlesize": 7.5,
            "axes.labelsize": 7,
            "xtick.labelsize": 6.5,
            "ytick.labelsize": 6.5,
            "legend.fontsize": 6.5,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.6,
            "axes.axisbelow": True,
            "grid.color": "0.88",
            "grid.linewidth": 0.5,
            "lines.linewidth": 1.2,
            "lines.markersize": 4,
            "figure.facecolor": "white",
            "savefig.dpi": 300,
            "pdf.fonttype": 42,
        }
    ):
        yield


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as .pdf (fonts embedded) or .png (300 dpi), without time stamps.

    Raises:
        ValueError: for any other suffix.
    """
    undated = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    suffix = Path(path).suffix
    if suffix not in undated:
        raise ValueError(f"{path}: a figure is saved as one of {', '.join(undated)}")
    with style():
        figure.savefig(path, metadata=undated[suffix])


def _picture(image: np.ndarray) -> np.ndarray:
    """(C, H, W) in [-1, 1] as (H, W, 3) in [0, 1]; values beyond are clipped, for display only."""
    shown = np.clip((np.moveaxis(image, 0, -1) + 1) / 2, 0, 1)
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


@style()
def pairs(
    images_by_name: Mapping[str, ArrayLike],
    seeds: Sequence[int],
    title: str = "",
    *,
    correlations: Mapping[str, ArrayLike] | None = None,
    labels: Sequence[str] | None = None,
    columns: int = 10,
) -> Figure:
    """Images of networks and machines from the same noise (the paper's figures 1, 5 and 13 to 24).

    Args:
        images_by_name: for each row, its name and its images (n, C, H, W), C 1 or 3, in [-1, 1];
            values outside are clipped for display.
        seeds: (n,), the column heads.
        title: above the figure.
        correlations: for rows that show them below each image, Pearson r with the network, (n,).
        labels: (n,) names of classes, under the seeds.
        columns: most seeds side by side; more seeds continue in further bands, of equal length.
    """
    rows = {name: np.asarray(images, np.float64) for name, images in images_by_name.items()}
    correlations = {name: np.asarray(r) for name, r in (correlations or {}).items()}
    n = len(seeds)
    if not rows or n == 0:
        raise ValueError("there are no images or no seeds to draw")
    for name, images in rows.items():
        if images.ndim != 4 or len(images) != n or images.shape[1] not in (1, 3):
            raise ValueError(
                f"images of {name} have shape {images.shape}: expected ({n}, 1 or 3, H, W)"
            )
    if set(correlations) - set(rows) or any(len(r) != n for r in correlations.values()):
        raise ValueError("correlations need the name of a row and one value a seed")

    # All lengths in inches, y downwards: one set of axes holds every image and every word.
    bands = math.ceil(n / columns)
    columns = math.ceil(n / bands)
    names_width = 0.15 + 0.052 * max(len(line) for name in rows for line in name.split("\n"))
    cell = min(0.75, (PAGE_INCHES - names_width) / columns)
    gap, r_height, head = 0.05, 0.11, 0.16 if labels is None else 0.26
    heights = [cell + (r_height if name in correlations else 0.0) for name in rows]
    band = head + sum(heights) + 0.06
    top = 0.22 if title else 0.02
    width = max(names_width + columns * cell, 0.1 + 0.07 * len(title))
    height = top + bands * band
    figure = Figure((width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    if title:
        axes.text(0.03, 0.11, title, va="center", fontweight="bold")
    for i, seed in enumerate(seeds):
        left = names_width + (i % columns) * cell
        y = top + (i // columns) * band
        name_of_seed = f"seed {seed}" if labels is None else f"seed {seed}\n{labels[i]}"
        middle = left + (cell - gap) / 2
        axes.text(middle, y + head - 0.03, name_of_seed, ha="center", va="bottom", fontsize=5.5)
        y += head
        for (name, images), row_height in zip(rows.items(), heights, strict=True):
            if i % columns == 0:
                axes.text(names_width - 0.06, y + (cell - gap) / 2, name, ha="right", va="center")
            extent = (left, left + cell - gap, y + cell - gap, y)
            axes.imshow(_picture(images[i]), extent=extent, interpolation="nearest")
            if name in correlations:
                r = correlations[name][i]
                text = "r undefined" if np.isnan(r) else f"r = {r:.2f}"
                axes.text(middle, y + cell - gap + 0.02, text, ha="center", va="top", fontsize=5.5)
            y += row_height
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


@style()
def scatter_is_vs_machine(agreement: pd.DataFrame) -> Figure:
    """Agreement of IS against that of the machines, a point a seed (the paper's figures 10 to 12).

    A panel for each network and number of steps; points above the diagonal are seeds where the
    machine agrees better than IS. The large marker is the median. Seeds whose correlation is
    undefined cannot be drawn; the panel says how many.

    Args:
        agreement: network, network_steps, machine, pearson_r, is_pearson_r; rows of machine "is"
            are left out.
    """
    table = agreement[agreement["machine"] != "is"]
    if table.empty:
        raise ValueError("agreement has no machine other than IS")
    panels = list(table.groupby(["network", "network_steps"]))
    columns = min(3, len(panels))
    lines = math.ceil(len(panels) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, lines * (width / columns + 0.3)), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    values = table[["pearson_r", "is_pearson_r"]].to_numpy()
    low = min(0.0, float(np.nanmin(values)) - 0.05)
    for axes, ((network, steps), group) in zip(grid.flat, panels, strict=False):
        axes.plot([low, 1], [low, 1], color="0.6", linewidth=0.8, zorder=1)
        notes = []
        for machine in (m for m in MACHINES if m in set(group["machine"])):
            colour, marker = MACHINE_LOOKS[machine]
            rows = group[group["machine"] == machine]
            x, y = rows["is_pearson_r"], rows["pearson_r"]
            axes.scatter(x, y, 9, colour, marker=marker, alpha=0.55, linewidths=0)
            axes.scatter(
                x.median(),
                y.median(),
                55,
                colour,
                marker=marker,
                edgecolors="white",
                linewidths=1,
                zorder=3,
            )
            above = int((y > x).sum())
            notes.append(f"{machine.upper()} above IS: {above} of {len(rows)}")
            undefined = int((x.isna() | y.isna()).sum())
            if undefined:
                notes.append(f"{undefined} undefined, not drawn")
        axes.set_title(f"{network}\n{steps} network steps")
        axes.text(0.98, 0.02, "\n".join(notes), ha="right", va="bottom", transform=axes.transAxes)
        axes.set(xlim=(low, 1), ylim=(low, 1), aspect="equal")
        axes.grid(True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    figure.supxlabel("IS and network: Pearson r", fontsize=7)
    figure.supylabel("machine and network: Pearson r", fontsize=7)
    shown = [m for m in MACHINES if m in set(table["machine"])]
    _legend(figure, shown, [_key("none", "o", "large: median over seeds")])
    return figure


@style()
def scales(tables_by_network: Mapping[str, pd.DataFrame], *, curves: int = 6) -> Figure:
    """The calibrated patch size P(t) of every network (the paper's figure 4b).

    The curves of a panel are moved apart by a fraction of a pixel, so that coinciding ones stay
    visible; P itself is always an odd integer.

    Args:
        tables_by_network: for each network a table with columns t and patch_size (pixels).
        curves: most networks in one panel.
    """
    if not tables_by_network:
        raise ValueError("there are no scales to draw")
    panels = math.ceil(len(tables_by_network) / curves)
    curves = math.ceil(len(tables_by_network) / panels)
    width = COLUMN_INCHES if panels == 1 else PAGE_INCHES
    figure = Figure((width, 2.3 + 0.13 * curves), layout="constrained")
    grid = figure.subplots(1, panels, squeeze=False, sharex=True, sharey=True)[0]
    for i, (network, table) in enumerate(tables_by_network.items()):
        table = table.sort_values("t")
        grid[i // curves].step(
            table["t"],
            table["patch_size"] + 0.24 * (i % curves - (curves - 1) / 2),
            where="mid",
            color=CURVE_COLOURS[i % curves % len(CURVE_COLOURS)],
            linestyle=CURVE_DASHES[i % curves % len(CURVE_DASHES)],
            marker=CURVE_MARKERS[i % curves % len(CURVE_MARKERS)],
            markersize=2.5,
            linewidth=1,
            label=network,
        )
    largest = max(int(table["patch_size"].max()) for table in tables_by_network.values())
    every = 2 * math.ceil(largest / 20)
    for axes in grid:
        axes.set(xlim=(0, 1.02), ylim=(0, largest + 1.5), yticks=range(1, largest + 1, every))
        axes.grid(True, axis="y")
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.22), handlelength=3.5)
        axes.set_xlabel("time t of the reverse process (1: noise, 0: image)")
    grid[0].set_ylabel("locality scale P(t) (pixels)")
    return figure


@style()
def headline_chart(headline: pd.DataFrame) -> Figure:
    """Median agreement of every network and machine, with intervals, beside the paper's medians.

    Args:
        headline: as :func:`patchmosaic.headline.headline` makes it.
    """
    networks = list(dict.fromkeys(headline["network"]))
    steps = sorted(headline["network_steps"].unique())
    machines = [m for m in MACHINES if m in set(headline["machine"])]
    width = PAGE_INCHES if len(steps) > 1 else COLUMN_INCHES + 1
    figure = Figure((width, 0.9 + 0.5 * len(networks)), layout="constrained")
    grid = figure.subplots(1, len(steps), squeeze=False, sharex=True, sharey=True)[0]
    spread = (np.arange(len(machines)) - (len(machines) - 1) / 2) * 0.8 / len(machines)
    for axes, count in zip(grid, steps, strict=True):
        for machine, shift in zip(machines, spread, strict=True):
            _medians(axes, headline, networks, count, machine, shift)
        for boundary in np.arange(1, len(networks)) - 0.5:
            axes.axhline(boundary, color="0.88", linewidth=0.5)
        axes.set_title(f"{count} network steps")
        axes.grid(True, axis="x")
        axes.tick_params(axis="y", length=0)
    lowest = headline[["pearson_r_low", "paper"]].min().min()
    grid[0].set(
        xlim=(min(0.0, lowest - 0.03), 1.01),
        ylim=(len(networks) - 0.5, -0.5),
        yticks=range(len(networks)),
        yticklabels=networks,
    )
    few, many = headline["seeds"].min(), headline["seeds"].max()
    n = f"{many}" if few == many else f"{few} to {many}"
    figure.supxlabel(f"median Pearson r with the network, n = {n} seeds, 95% interval", fontsize=7)
    _legend(figure, machines, [_key("none", "d", "paper's median")])
    return figure


def _medians(
    axes: Axes, headline: pd.DataFrame, networks: list[str], steps: int, machine: str, shift: float
) -> None:
    """Our medians and the paper's of one machine, a line for each network."""
    rows = headline[(headline["network_steps"] == steps) & (headline["machine"] == machine)]
    colour, marker = MACHINE_LOOKS[machine]
    y = rows["network"].map(networks.index) + shift
    bounds = [rows["pearson_r"] - rows["pearson_r_low"], rows["pearson_r_high"] - rows["pearson_r"]]
    axes.errorbar(
        rows["pearson_r"], y, xerr=bounds, color=colour, fmt=marker, elinewidth=1, markersize=3.5
    )
    # Below ours, so that neither hides the other where they coincide.
    axes.plot(rows["paper"], y + 0.11, "d", color=colour, markerfacecolor="white", markersize=3.5)


def _key(face: str, marker: str, text: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", color="0.3", markerfacecolor=face, marker=marker, label=text
    )


def _legend(figure: Figure, machines: Sequence[str], more: Sequence[Line2D]) -> None:
    keys = [
        Line2D([], [], linestyle="", color=colour, marker=marker, label=machine.upper())
        for machine, (colour, marker) in MACHINE_LOOKS.items()
        if machine in machines
    ]
    figure.legend(handles=[*keys, *more], loc="outside upper center", ncols=len(keys) + len(more))
