"""How often and how far agreement falls: what a median over seeds does not show."""

from __future__ import annotations

import pandas as pd

from patchmosaic.analysis.intervals import proportion, with_undefined_as_zero
from patchmosaic.machines.registry import ordered
from patchmosaic.tables.headline import RUN

COLUMNS = [
    *(*RUN, "seeds", "low", "share", "share_low", "share_high"),
    *("lower_decile", "lowest", "lowest_seed"),
]


def tails(agreement: pd.DataFrame, low: float) -> pd.DataFrame:
    """The seeds of each machine that agree least: one row a network, number of steps and machine.

    Of r :func:`patchmosaic.analysis.intervals.with_undefined_as_zero`.

    Args:
        agreement: the per-seed rows of tables/agreement.csv.
        low: the Pearson r below which a seed counts as low.

    Returns:
        network, network_steps, machine, seeds, low; share of the seeds that are, with its Wilson
        95% interval in share_low and share_high; lower_decile, the r that a tenth of the seeds is
        below; lowest r and its seed.
    """
    order = ordered(agreement["machine"])
    rows = []
    for run, group in agreement.groupby(RUN):
        r = with_undefined_as_zero(group.set_index("seed")["pearson_r"])
        share = proportion(int((r < low).sum()), len(r))
        rows.append(
            dict(zip(RUN, run, strict=True))
            | {"seeds": len(r), "low": low}
            | dict(zip(("share", "share_low", "share_high"), share, strict=True))
            | {"lower_decile": r.quantile(0.1), "lowest": r.min(), "lowest_seed": r.idxmin()}
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    place = table["machine"].map(order.index)
    by_run = table.assign(place=place).sort_values(["network", "network_steps", "place"])
    return by_run.drop(columns="place").reset_index(drop=True)
