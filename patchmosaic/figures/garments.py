"""Inconsistent garments of Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.garments import GARMENTS, inconsistent
from patchmosaic.datasets.images import load_images, to_float_array
from patchmosaic.figures.pairs import pairs
from patchmosaic.figures.style import PAGE_INCHES, style
from patchmosaic.machines.registry import label
from patchmosaic.sampling.samples import join_shards, require_same_noise


@style()
def inconsistent_garments(
    images_by_name: Mapping[str, NDArray],
    found_by_name: Mapping[str, pd.DataFrame],
    seeds: Sequence[int],
    classes: Sequence[str],
    title: str = "",
    *,
    most: int = 16,
) -> Figure:
    """The network's inconsistent garments beside the machines' (the paper's figure 5c).

    Below each name stands how many of all garments are inconsistent, and in brackets how many of
    them are so in the network's image too.

    Args:
        images_by_name: "network" and machines, images of all garments, (n, C, H, W) in [-1, 1].
        found_by_name: for each of them :func:`patchmosaic.analysis.garments.inconsistent`.
        seeds, classes: (n,), the column heads.
        title: above the figure.
        most: inconsistent garments that are drawn, in the order of seeds.
    """
    network = found_by_name["network"]
    chosen = np.flatnonzero(network["inconsistent"])[:most]
    if len(chosen) == 0:
        figure = Figure((PAGE_INCHES, 0.5))
        figure.text(0.02, 0.5, f"{title}: none of {len(seeds)} garments is inconsistent")
        return figure
    rows, correlations = {}, {}
    for name, images in images_by_name.items():
        wrong = found_by_name[name]["inconsistent"]
        if name == "network":
            rows[f"network\n{wrong.sum()} of {len(wrong)}"] = images[chosen]
            continue
        both = (wrong & network["inconsistent"]).sum()
        row = f"{label(name)}\n{wrong.sum()} ({both}) of {len(wrong)}"
        rows[row] = images[chosen]
        correlations[row] = pearson_r(images[chosen], images_by_name["network"][chosen])
    why = np.where(network["extra_limbs"], "extra limbs", "lopsided")
    why[network["extra_limbs"] & network["lopsided"]] = "both"
    labels = [f"{classes[i]}\n{why[i]}" for i in chosen]
    return pairs(
        rows, [seeds[i] for i in chosen], title, correlations=correlations, labels=labels, columns=8
    )


def draw(*, network: Sequence[str], bank: str, title: str, **machines: Sequence[str]) -> Figure:
    """The figure from the files of the samples of network and machines, and of the bank."""
    training = load_images(bank)
    samples = {
        name: join_shards([Path(path) for path in shards])
        for name, shards in {"network": network, **dict(reversed(machines.items()))}.items()
    }
    require_same_noise(samples)
    ours = samples["network"]
    assert ours.labels is not None  # of a class-conditional network
    assert training.labels is not None
    classes = np.array(training.class_names)[ours.labels]
    garments = np.flatnonzero(np.isin(classes, GARMENTS))
    x_0, labels = to_float_array(training), ours.labels[garments]
    found = {
        name: inconsistent(images.images[garments], labels, x_0, training.labels)
        for name, images in samples.items()
    }
    return inconsistent_garments(
        {name: images.images[garments] for name, images in samples.items()},
        found,
        ours.seeds[garments].tolist(),
        classes[garments].tolist(),
        title,
    )
