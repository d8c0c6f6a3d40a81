"""ResNet and UNet side by side, each with its machines (the paper's figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.figures.pairs import MOST_COLUMNS, pairs
from patchmosaic.machines.registry import label
from patchmosaic.sampling.samples import load_samples


def draw(
    *, resnet: Sequence[str], unet: Sequence[str], machines: Sequence[str], title: str
) -> Figure:
    """The figure from the files of samples: of each network first, then of its machines."""
    rows, correlations = {}, {}
    for architecture, paths in (("ResNet", resnet), ("UNet", unet)):
        network, *others = (load_samples(Path(path)).part(0, MOST_COLUMNS) for path in paths)
        rows[architecture] = network.images
        for name, samples in zip(machines, others, strict=True):
            row = f"{label(name)} of {architecture}"
            rows[row] = samples.images
            correlations[row] = pearson_r(samples.images, network.images)
    return pairs(rows, network.seeds.tolist(), title, correlations=correlations)
