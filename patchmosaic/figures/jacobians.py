"""How far networks look, over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from patchmosaic.figures.style import (
    PAGE_INCHES,
    SKY,
    style,
)
from patchmosaic.sampling.scales import read_scales
from patchmosaic.system.arrays import read_arrays


def share_inside(gradient: np.ndarray, patch_size: int) -> float:
    """Share of an absolute gradient (H, W) within the P x P patch around the central pixel."""
    (height, width), half = gradient.shape, patch_size // 2
    rows = slice(max(0, height // 2 - half), height // 2 + half + 1)
    cols = slice(max(0, width // 2 - half), width // 2 + half + 1)
    return float(np.sum(gradient[rows, cols]) / np.sum(gradient))


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
            top, left = (side // 2 - patch_size / 2 for side in gradient.shape)
            axes.add_patch(Rectangle((left, top), patch_size, patch_size, fill=False, ec=SKY, lw=1))
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


def draw(*, gradients: Sequence[str], scales: Sequence[str], networks: Sequence[str]) -> Figure:
    """The figure from the files of input gradients and locality scales of every network."""
    maps, sizes, seeds = {}, {}, set()
    for network, file, table in zip(networks, gradients, scales, strict=True):
        arrays = read_arrays(file)
        times = arrays["t"].round(6)
        maps[network] = dict(zip(times, arrays["gradients"], strict=True))
        seeds.add(len(arrays["seeds"]))
        sizes[network] = {round(t, 6): p for t, p in read_scales(Path(table)).items()}
    return jacobians(maps, sizes, seeds.pop())
