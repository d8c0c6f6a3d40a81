"""The seeds on which ELS and a network agree least, so that they are seen, too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import with_undefined_as_zero
from patchmosaic.datasets.images import load_images
from patchmosaic.figures.pairs import drawn_pairs
from patchmosaic.sampling.samples import Samples, join_shards


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
    table = pd.read_csv(agreement)
    r = with_undefined_as_zero(table[table["machine"] == "els"].set_index("seed")["pearson_r"])
    worst = r.sort_values(kind="stable").index[:seeds]

    def of_worst(paths: Sequence[str]) -> Samples:
        return join_shards([Path(path) for path in paths]).of_seeds(worst)

    return drawn_pairs(
        of_worst(network),
        {name: of_worst(paths).images for name, paths in machines.items()},
        table,
        load_images(bank).class_names,
        title,
        steps,
    )
