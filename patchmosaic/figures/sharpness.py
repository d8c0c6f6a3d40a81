"""How sharp the optimum of P is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from patchmosaic.figures.style import CURVE_COLOURS, CURVE_MARKERS, panels, style
from patchmosaic.sampling.scales import read_scales


@style()
def sharpness(
    cosines: Mapping[str, pd.DataFrame],
    scales_by_network: Mapping[str, Mapping[float, int]],
    *,
    moments: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
) -> Figure:
    """How much worse the patch sizes that were tried predict a network than the best, over time.

    Drawn is 1 - cosine of the ELS machine's and the network's predicted noise, the median over
    trajectories, a curve for each time and a panel for each network. A large marker is the
    calibrated P, the median over trajectories of the best P of each; where a curve is flat, P is
    uncertain.

    Args:
        cosines: for each network a table of t, trajectory, patch_size, cosine.
        scales_by_network: for each network the calibrated P in pixels at each time.
        moments: of these times the calibrated ones nearest to them are drawn.
    """
    figure, grid = panels(len(cosines), 3, line=2.0)
    looks = list(zip(CURVE_COLOURS, CURVE_MARKERS, strict=True))[: len(moments)]
    for axes, (network, table) in zip(grid, cosines.items(), strict=True):
        found = scales_by_network[network]
        misses = 1 - table.groupby(["t", "patch_size"])["cosine"].median()
        times = [_nearest(found, moment) for moment in moments]
        for t, (colour, marker) in zip(times, looks, strict=True):
            curve = misses[_nearest(misses.index.levels[0], t)]
            axes.plot(curve.index, curve, color=colour, marker=marker, markersize=2)
            if found[t] in curve.index:
                axes.plot(found[t], curve[found[t]], marker, color=colour, markersize=6)
        axes.set_title(f"{network}\nn = {table['trajectory'].nunique()} trajectories", fontsize=6.5)
        axes.grid(True)
    grid[0].set(yscale="log")
    figure.supxlabel("patch size P in pixels (large marker: calibrated)", fontsize=7)
    figure.supylabel("1 - cosine with the network's noise", fontsize=7)
    keys = [
        Line2D([], [], color=colour, marker=marker, markersize=3, label=f"t = {t:g}")
        for t, (colour, marker) in zip(times, looks, strict=True)
    ]
    ncols = len(keys) if len(cosines) > 1 else 3
    figure.legend(handles=keys, loc="outside upper center", ncols=ncols)
    return figure


def _nearest(times: Iterable[float], moment: float) -> float:
    return min(times, key=lambda t: abs(t - moment))


def draw(*, cosines: Sequence[str], scales: Sequence[str], networks: Sequence[str]) -> Figure:
    """The figure from the files that the calibration of every network left."""
    read = (map(pd.read_csv, cosines), map(read_scales, map(Path, scales)))
    return sharpness(*(dict(zip(networks, each, strict=True)) for each in read))
