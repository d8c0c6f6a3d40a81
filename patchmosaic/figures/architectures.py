"""ResNet and UNet side by side, each with its machines (the paper's figure 7)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.figures.pairs import pairs
from patchmosaic.machines.registry import label
from patchmosaic.sampling.samples import Samples, join_shards


def draw(*, machines: Sequence[str], title: str, seeds: int, **samples: Sequence[str]) -> Figure:
    """The figure from the files of samples, such as resnet_network and unet_els."""

    def first(architecture: str, kind: str) -> Samples:
        paths = samples[f"{architecture.lower()}_{kind}"]
        return join_shards([Path(path) for path in paths]).part(0, seeds)

    rows, correlations = {}, {}
    for architecture in ("ResNet", "UNet"):
        network = first(architecture, "network")
        rows[architecture] = network.images
        for name in machines:
            row, images = f"{label(name)} of {architecture}", first(architecture, name).images
            rows[row] = images
            correlations[row] = pearson_r(images, network.images)
    return pairs(rows, network.seeds.tolist(), title, correlations=correlations)
