"""Agreement of machines and networks along the reverse process."""

from __future__ import annotations

import numpy as np
import pandas as pd

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.frequencies import band_agreement
from patchmosaic.sampling.trajectories import Trajectory


def agreement_over_time(machine: Trajectory, network: Trajectory, seeds: list[int]) -> pd.DataFrame:
    """Pearson r of machine and network at every step, a row a time and seed.

    Returns:
        t, seed, mean_r (of the predicted x_0) and state_r (of x_t, which share their noise).
    """
    tables = []
    for i, t in enumerate(_shared_times(machine, network)):
        mean_r = pearson_r(machine.means[i], network.means[i])
        state_r = pearson_r(machine.states[i], network.states[i])
        rows = {"t": t, "seed": seeds, "mean_r": mean_r, "state_r": state_r}
        tables.append(pd.DataFrame(rows))
    return pd.concat(tables, ignore_index=True)


def band_agreement_over_time(
    machine: Trajectory, network: Trajectory, seeds: list[int]
) -> pd.DataFrame:
    """Pearson r of the predicted x_0 at every step within each band of spatial frequency.

    Returns:
        t, seed, and the columns of :func:`patchmosaic.analysis.frequencies.band_agreement`
        but the image.
    """
    tables = []
    for i, t in enumerate(_shared_times(machine, network)):
        table = band_agreement(machine.means[i], network.means[i])
        table["seed"] = np.array(seeds)[table.pop("image")]
        tables.append(table.assign(t=t))
    return pd.concat(tables, ignore_index=True)


def _shared_times(one: Trajectory, other: Trajectory) -> list[float]:
    if one.times != other.times:
        raise ValueError("the trajectories are of different times")
    return one.times
