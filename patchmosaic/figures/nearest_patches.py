"""How far the patches of samples are from training patches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import median_intervals
from patchmosaic.figures.style import (
    NETWORK_LOOK,
    machine_looks,
    panels,
    source_key,
    style,
)
from patchmosaic.machines.registry import label
from patchmosaic.publish.names import HELD_OUT


@style()
def nearest_patches(patches: pd.DataFrame, images: pd.DataFrame) -> Figure:
    """How far the patches of samples are from training patches, beside whole images.

    A panel for each network; medians over images with their 95% intervals.

    Args:
        patches: network, source (as for :func:`novelty`), and the columns of
            :func:`patchmosaic.analysis.nearest_patches.patch_distances`.
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
    machines = machine_looks(sources)
    drawn = [source for source in sources if source not in {HELD_OUT, *machines}]
    looks = {HELD_OUT: ("0.45", "X"), **machines}
    looks |= {s: (NETWORK_LOOK[0], m) for s, m in zip(drawn, cycle("v<>*"), strict=False)}
    figure, grid = panels(len(networks), 2, line=1.9, beside=0.8)
    spread = (np.arange(len(sources)) - (len(sources) - 1) / 2) * 0.7 / len(sources)
    for axes, (network, group) in zip(grid, networks, strict=True):
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
    grid[0].set(xlim=(-0.5, len(sizes) - 0.5), xticks=range(len(sizes)), xticklabels=names)
    grid[0].set_ylim(bottom=-0.03 * grid[0].get_ylim()[1])  # markers at 0 are seen whole
    figure.supxlabel("what is compared: patches of so many pixels, or whole images", fontsize=7)
    figure.supylabel("distance to the training set (rms)", fontsize=7)
    keys = [source_key(label(s) if s in machines else s, looks[s]) for s in sources]
    figure.legend(handles=keys, loc="outside upper center", ncols=3 if len(networks) == 1 else 6)
    return figure


def draw(*, patches: Sequence[str], images: Sequence[str]) -> Figure:
    """The figure from the files of patches and of whole images of every network."""
    return nearest_patches(*(pd.concat(map(pd.read_csv, tables)) for tables in (patches, images)))
