"""Trainings of a network from several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.analysis.intervals import bootstrap_median, with_undefined_as_zero
from patchmosaic.figures.style import legend, machine_looks, panels, style
from patchmosaic.machines.registry import label


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
            :func:`patchmosaic.analysis.intervals.training_spread`.
        repeats: the names of each group of networks.
        seeds: the training seed of each of them.
    """
    steps = sorted(agreement["network_steps"].unique())
    groups = [(names, count) for names in repeats for count in steps]
    figure, grid = panels(len(groups), 2, line=2.4, sharex=False)
    looks = machine_looks(agreement["machine"])
    for axes, (names, count) in zip(grid, groups, strict=True):
        notes = [f"{names[0]}, {count} steps"]
        for machine, shift in zip(looks, np.linspace(-0.12, 0.12, len(looks)), strict=True):
            colour, marker = looks[machine]
            chosen = (agreement["machine"] == machine) & (agreement["network_steps"] == count)
            wide = agreement[chosen].pivot(index="seed", columns="network", values="pearson_r")
            wide = with_undefined_as_zero(wide[list(names)])
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
                f"{label(machine)}: sd {row['sd_training']:.3f} over trainings, "
                f"{row['sd_noise']:.3f} over noise, {row['sd_interaction']:.3f} interaction"
            )
        axes.set_title("\n".join(notes), fontsize=6.5)
        axes.set_xticks(range(len(names)), [str(seeds[name]) for name in names])
        axes.grid(True, axis="y")
    n = agreement["seed"].nunique()
    figure.supxlabel("seed of the training", fontsize=7)
    figure.supylabel(f"Pearson r, n = {n} noise seeds", fontsize=7)
    legend(figure, looks, [])
    return figure


def draw(
    *, agreement: str, spread: str, repeats: Sequence[Sequence[str]], seeds: Mapping[str, int]
) -> Figure:
    """The figure from the files of the agreement and of its spread over trainings."""
    return training_seeds(pd.read_csv(agreement), pd.read_csv(spread), repeats, seeds)
