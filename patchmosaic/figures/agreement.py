"""How well machines and networks agree (the paper's figures 10 to 12, tables 1 and 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchmosaic.figures.style import (
    BLACK,
    BLUE,
    COLUMN_INCHES,
    GREEN,
    MACHINE_LOOKS,
    NETWORK_LOOK,
    PAGE_INCHES,
    VERMILLION,
    interval_line,
    key,
    legend,
    source_key,
    style,
)
from patchmosaic.headline import CONFIGURATION, MACHINES, with_copies
from patchmosaic.statistics import bootstrap_median, median_intervals


@style()
def scatter_is_vs_machine(agreement: pd.DataFrame) -> Figure:
    """Agreement of IS against that of the machines, a point a seed (the paper's figures 10 to 12).

    A panel for each network and number of steps; points above the diagonal are seeds where the
    machine agrees better than IS. The large marker is the median with its 95% intervals, in which
    an undefined correlation counts as 0. Seeds whose correlation is
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
            middle = [bootstrap_median(values.fillna(0.0)) for values in (x, y)]
            errors = [[[m.estimate - m.low], [m.high - m.estimate]] for m in middle]
            axes.errorbar(
                *(m.estimate for m in middle),
                xerr=errors[0],
                yerr=errors[1],
                color=colour,
                marker=marker,
                markersize=7,
                markeredgecolor="white",
                elinewidth=1,
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
    for axes in grid.flat[max(0, len(panels) - columns) : len(panels)]:
        axes.tick_params(labelbottom=True)  # also where the line below ends earlier
    figure.supxlabel("IS and network: Pearson r", fontsize=7)
    figure.supylabel("machine and network: Pearson r", fontsize=7)
    shown = [m for m in MACHINES if m in set(table["machine"])]
    legend(figure, shown, [key("none", "o", "large: median and 95% interval")])
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
    legend(figure, machines, [key("none", "d", "paper's median")])
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


@style()
def siblings(table: pd.DataFrame) -> Figure:
    """How networks of the same images agree with each other, beside their agreement with ELS.

    Args:
        table: a, b, network_steps and the columns of :func:`patchmosaic.statistics.siblings`.
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


@style()
def training_seeds(
    agreement: pd.DataFrame,
    spread: pd.DataFrame,
    repeats: Sequence[Sequence[str]],
    seeds: Mapping[str, int],
) -> Figure:
    """Agreement with trainings of one network from several seeds, a panel for each number of steps.

    Args:
        agreement: network, network_steps, machine, seed, pearson_r.
        spread: network (the first of a group), network_steps, machine and the columns of
            :func:`patchmosaic.statistics.training_spread`.
        repeats: the names of each group of networks.
        seeds: the training seed of each of them.
    """
    steps = sorted(agreement["network_steps"].unique())
    panels = [(names, count) for names in repeats for count in steps]
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 2.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
    shown = [m for m in MACHINES if m in set(agreement["machine"])]
    for axes, (names, count) in zip(grid.flat, panels, strict=False):
        notes = [f"{names[0]}, {count} steps"]
        for machine, shift in zip(shown, np.linspace(-0.12, 0.12, len(shown)), strict=True):
            colour, marker = MACHINE_LOOKS[machine]
            chosen = (agreement["machine"] == machine) & (agreement["network_steps"] == count)
            wide = agreement[chosen].pivot(index="seed", columns="network", values="pearson_r")
            wide = wide[list(names)].fillna(0.0)
            x = np.arange(len(names)) + shift
            axes.plot(x, wide.T, color=colour, linewidth=0.5, alpha=0.3)
            middle = [bootstrap_median(wide[name]) for name in names]
            errors = [[m.estimate - m.low for m in middle], [m.high - m.estimate for m in middle]]
            medians = [m.estimate for m in middle]
            axes.errorbar(x, medians, errors, color=colour, marker=marker, linestyle="")
            row = spread[
                (spread["network"] == names[0])
                & (spread["network_steps"] == count)
                & (spread["machine"] == machine)
            ].iloc[0]
            notes.append(
                f"{machine.upper()}: sd {row['sd_training']:.3f} over trainings, "
                f"{row['sd_noise']:.3f} over noise, {row['sd_interaction']:.3f} interaction"
            )
        axes.set_title("\n".join(notes), fontsize=6.5)
        axes.set_xticks(range(len(names)), [seeds[name] for name in names])
        axes.grid(True, axis="y")
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    n = agreement["seed"].nunique()
    figure.supxlabel("seed of the training", fontsize=7)
    figure.supylabel(f"Pearson r, n = {n} noise seeds", fontsize=7)
    legend(figure, shown, [])
    return figure


HELD_OUT = "held-out images"  # the yardstick of novelty
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
    keys = [*CONFIGURATION, "network_steps"]
    paper = with_copies(paper, table["dataset"])
    table = table.merge(paper[[*keys, "els"]], how="left", on=keys)
    runs = list(table.groupby(["network", "network_steps"]))
    figure = Figure((PAGE_INCHES, 0.8 + 0.5 * len(runs)), layout="constrained")
    axes = figure.subplots()
    for i, (_, group) in enumerate(runs):
        for (column, (_, colour, marker)), shift in zip(
            MEASURES.items(), (-0.25, 0, 0.25), strict=True
        ):
            values = group[column].fillna(0.0)
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


@style()
def bands(table: pd.DataFrame) -> Figure:
    """Agreement of final images by band of spatial frequency, a panel for each run of a network.

    Medians over seeds with their 95% intervals; an undefined r counts as 0.

    Args:
        table: network, network_steps, machine, and the columns of
            :func:`patchmosaic.frequencies.band_agreement`.
    """
    runs = list(table.groupby(["network", "network_steps"]))
    columns = min(4, len(runs))
    lines = math.ceil(len(runs) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.5 + 1.75 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    shown = [m for m in MACHINES if m in set(table["machine"])]
    for axes, ((network, steps), group) in zip(grid.flat, runs, strict=False):
        for machine in shown:
            rows = group[group["machine"] == machine]
            medians = median_intervals(rows, ["low", "high"], "r")
            x = np.sqrt([low * high for low, high in medians.index])
            interval_line(axes, x, medians, MACHINE_LOOKS[machine])
        axes.set_title(f"{network}\n{steps} steps, n = {group['seed'].nunique()}", fontsize=6.5)
        axes.axhline(0, color="0.6", linewidth=0.6)
        axes.grid(True)
    edges = sorted({*table["low"], *table["high"]})
    grid[0, 0].set_xscale("log")
    ticks = [*(f"{edge:g}" for edge in edges[:-1]), ""]  # the last is too near to be labelled
    for axes in grid.flat:
        axes.set_xticks(edges, ticks)
        axes.minorticks_off()
    for axes in grid.flat[len(runs) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(runs) - columns) : len(runs)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel(f"spatial frequency (cycles an image, up to {edges[-1]:g})", fontsize=7)
    figure.supylabel("Pearson r within the band", fontsize=7)
    legend(figure, shown, [])
    return figure


@style()
def novelty(table: pd.DataFrame) -> Figure:
    """How far samples and held-out images are from the training images, a panel for each network.

    Args:
        table: network, source ("held-out images", "network, 20 steps", "els", ...), and the columns
            of :func:`patchmosaic.novelty.novelty`.
    """
    import seaborn  # which takes two seconds, and other figures do not need

    networks = list(table.groupby("network", sort=False))
    columns = min(2, len(networks))
    lines = math.ceil(len(networks) / columns)
    sources = list(dict.fromkeys(table["source"]))
    width = COLUMN_INCHES + 0.5 if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.4 + lines * (0.35 + 0.22 * len(sources))), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    reach = 1.35 * table["distance"].max()
    colours = {source: MACHINE_LOOKS.get(source, (VERMILLION, "o"))[0] for source in sources}
    colours[HELD_OUT] = "0.45"
    looks = {"x": "distance", "y": "source", "order": sources, "hue": "source", "palette": colours}
    for axes, (network, group) in zip(grid.flat, networks, strict=False):
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
    names = [source.upper() if source in MACHINE_LOOKS else source for source in sources]
    grid[0, 0].set(xlim=(0, reach), ylim=(len(sources) - 0.5, -0.5), yticks=range(len(sources)))
    grid[0, 0].set_yticklabels(names)
    for axes in grid.flat[len(networks) :]:
        axes.set_axis_off()
    figure.supxlabel(
        "distance to the nearest training image (root mean square, pixels in [-1, 1]); "
        "right: copies",
        fontsize=7,
    )
    return figure


@style()
def nearest_patches(patches: pd.DataFrame, images: pd.DataFrame) -> Figure:
    """How far the patches of samples are from training patches, beside whole images.

    A panel for each network; medians over images with their 95% intervals.

    Args:
        patches: network, source (as for :func:`novelty`), and the columns of
            :func:`patchmosaic.nearest_patches.patch_distances`.
        images: as for :func:`novelty`, in the order of the images of each source; the first ones,
            as many as there are in `patches`, are drawn.
    """
    whole = "whole"
    sample = ["network", "source"]
    counts = patches.groupby(sample)["image"].nunique().rename("count")
    images = images.join(counts, on=sample)
    images = images[images.groupby(sample).cumcount() < images["count"]]  # the same ones
    table = pd.concat([patches, images.assign(patch_size=whole)])
    networks = list(table.groupby("network", sort=False))
    sizes = [*sorted(patches["patch_size"].unique()), whole]
    sources = list(dict.fromkeys(patches["source"]))
    drawn = [source for source in sources if source not in {HELD_OUT, *MACHINE_LOOKS}]
    looks = {HELD_OUT: ("0.45", "X"), **MACHINE_LOOKS}
    looks |= {s: (NETWORK_LOOK[0], m) for s, m in zip(drawn, cycle("v<>*"), strict=False)}
    columns = min(2, len(networks))
    lines = math.ceil(len(networks) / columns)
    width = COLUMN_INCHES if columns == 1 else PAGE_INCHES
    figure = Figure((width, 0.8 + 1.9 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    spread = (np.arange(len(sources)) - (len(sources) - 1) / 2) * 0.7 / len(sources)
    for axes, (network, group) in zip(grid.flat, networks, strict=False):
        for source, shift in zip(sources, spread, strict=True):
            rows = group[group["source"] == source]
            medians = median_intervals(rows, "patch_size", "distance").reindex(sizes)
            middle = medians["estimate"]
            axes.errorbar(
                np.arange(len(sizes)) + shift,
                middle,
                yerr=[middle - medians["low"], medians["high"] - middle],
                color=looks[source][0],
                fmt=looks[source][1],
                elinewidth=0.8,
                markersize=3.5,
            )
        one = group[group["patch_size"] == sizes[0]]
        counts = one.groupby(one["source"] == HELD_OUT)["image"].nunique()
        n = f"n = {counts[False]}" + (f", held-out {counts[True]}" if True in counts else "")
        axes.set_title(f"{network}\n{n}")
        for boundary in np.arange(1, len(sizes)) - 0.5:
            axes.axvline(boundary, color="0.88", linewidth=0.5)
        axes.grid(True, axis="y")
    names = [*(f"{size} x {size}" for size in sizes[:-1]), "whole image"]
    grid[0, 0].set(xlim=(-0.5, len(sizes) - 0.5), xticks=range(len(sizes)), xticklabels=names)
    grid[0, 0].set_ylim(bottom=-0.03 * grid[0, 0].get_ylim()[1])  # markers at 0 are seen whole
    for axes in grid.flat[len(networks) :]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, len(networks) - columns) : len(networks)]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel("what is compared: patches of so many pixels, or whole images", fontsize=7)
    figure.supylabel("distance to the training set (rms)", fontsize=7)
    keys = [source_key(s.upper() if s in MACHINE_LOOKS else s, looks[s]) for s in sources]
    figure.legend(handles=keys, loc="outside upper center", ncols=3 * columns)
    return figure
