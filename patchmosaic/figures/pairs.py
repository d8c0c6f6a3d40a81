"""Images of networks and machines side by side (the paper's figures 1, 5 to 7, 13 to 24)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from patchmosaic.datasets.images import load_images
from patchmosaic.figures.style import PAGE_INCHES, picture, style
from patchmosaic.machines.registry import label
from patchmosaic.sampling.samples import Samples, join_shards


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
        images_by_name: for each row, its name and its images (n, C, H, W) in [-1, 1];
            values outside are clipped for display.
        seeds: (n,), the column heads.
        title: above the figure.
        correlations: for rows that show them below each image, Pearson r with the network, (n,).
        labels: (n,) names of classes or other words, under the seeds.
        columns: most seeds side by side; more seeds continue in further bands, of equal length.
    """
    rows = {name: np.asarray(images, np.float64) for name, images in images_by_name.items()}
    r_by_name = {name: np.asarray(r) for name, r in (correlations or {}).items()}
    n = len(seeds)
    if not rows or n == 0:
        raise ValueError("there are no images or no seeds to draw")
    for name, images in rows.items():
        if images.ndim != 4 or len(images) != n:
            raise ValueError(f"images of {name} have shape {images.shape}: expected ({n}, C, H, W)")
    if set(r_by_name) - set(rows) or any(len(r) != n for r in r_by_name.values()):
        raise ValueError("correlations need the name of a row and one value a seed")

    # All lengths in inches, y downwards: one set of axes holds every image and every word.
    bands = math.ceil(n / columns)
    columns = math.ceil(n / bands)
    names_width = 0.15 + 0.052 * max(len(line) for name in rows for line in name.split("\n"))
    cell = min(0.75, (PAGE_INCHES - names_width) / columns)
    gap, r_height = 0.05, 0.11
    lines = 1 if labels is None else 2 + max(label.count("\n") for label in labels)
    head = 0.06 + 0.1 * lines
    heights = [cell + (r_height if name in r_by_name else 0.0) for name in rows]
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
            axes.imshow(picture(images[i]), extent=extent, interpolation="nearest")
            if name in r_by_name:
                r = r_by_name[name][i]
                text = "r undefined" if np.isnan(r) else f"r = {r:.2f}"
                axes.text(middle, y + cell - gap + 0.02, text, ha="center", va="top", fontsize=5.5)
            y += row_height
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")
    return figure


def drawn_pairs(
    network: Samples,
    machines: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    class_names: Sequence[str],
    title: str,
    steps: str,
) -> Figure:
    """The figure of a network's samples and the machines' images of the same seeds.

    Args:
        network: its samples, in the order in which they are drawn.
        machines: by name, images (n, C, H, W); the last one comes below the network.
        table: the rows of the network and these steps in tables/agreement.csv.
        class_names: of the labels, where the samples have some.
        title: above the figure.
        steps: of the network.
    """
    rows = {f"network, {steps} steps": network.images}
    correlations = {}
    for name, images in reversed(list(machines.items())):
        rows[label(name)] = images
        of_machine = table[table["machine"] == name].set_index("seed")
        correlations[label(name)] = of_machine.loc[network.seeds, "pearson_r"].to_numpy()
    labels = None if network.labels is None else [class_names[k] for k in network.labels]
    return pairs(rows, network.seeds.tolist(), title, correlations=correlations, labels=labels)


def draw(
    *,
    network: Sequence[str],
    agreement: str,
    bank: str,
    title: str,
    steps: str,
    seeds: int,
    **machines: Sequence[str],
) -> Figure:
    """The figure of a network and the machines, from the files of their samples and agreement."""

    def first(paths: Sequence[str]) -> Samples:
        return join_shards([Path(path) for path in paths]).part(0, seeds)

    return drawn_pairs(
        first(network),
        {name: first(paths).images for name, paths in machines.items()},
        pd.read_csv(agreement),
        load_images(bank).class_names,
        title,
        steps,
    )
