"""Whether our medians are those of the paper: equivalence, not only the lack of a difference.

Both sides are uncertain. Ours by the noise seeds and by the training of the network; the paper's,
which gives no intervals, by as much: its medians are taken to vary over seeds as ours do, over its
own number of seeds, over trainings as ours do, and by their rounding to two digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd

from patchmosaic.analysis.intervals import medians_of_resamples, with_undefined_as_zero
from patchmosaic.tables.headline import DESCRIPTION, FEW_SEEDS, with_copies
from patchmosaic.tables.paper import Paper
from patchmosaic.tables.protocol import Protocol

SD_ROUNDED = 0.01 / math.sqrt(12)  # of a number that was rounded to two digits
RESAMPLES = 2000  # give a standard error within some percent
COMPARED = ("els", "ls", "is")
LEVEL, ABOVE, BELOW, UNDECIDED = "level", "above", "below", "undecided"
VERDICTS = (LEVEL, ABOVE, BELOW, UNDECIDED)


def equivalence(
    agreement: pd.DataFrame,
    paper: Paper,
    trainings: pd.DataFrame,
    protocol: Protocol,
    repeats: Sequence[Sequence[str]] = (),
) -> pd.DataFrame:
    """Two one-sided tests (Schuirmann 1987) of each median against the paper's.

    A median is LEVEL where both tests reject, which is where the interval of the difference that
    leaves out the significance on either side lies within the margin; ABOVE or BELOW where it is
    not and that interval has 0 outside; else UNDECIDED, as with fewer than FEW_SEEDS seeds. The
    difference is taken to be normal.

    Args:
        agreement: the per-seed rows of tables/agreement.csv.
        paper: its rows, and its number of seeds.
        trainings: the rows of tables/training_seeds.csv, of this run or kept of another: a network
            has the sd_training of its own rows; one without, the greatest of all.
        protocol: margin and significance.
        repeats: names of networks that are trained alike from several seeds: they are one row, of
            the mean over trainings of their medians, by the first name.

    Returns:
        network, dataset, architecture, padding, conditional, network_steps, machine, trainings,
        seeds, pearson_r, paper, difference, low, high (of the difference), p_value (the greater of
        the two), sd_seeds and sd_training (of our median), sd_paper, verdict.
    """
    first = {name: names[0] for names in repeats for name in names}
    rows = agreement.assign(group=agreement["network"].map(lambda name: first.get(name, name)))
    theirs = with_copies(paper.rows, agreement["dataset"]).set_index(
        [*DESCRIPTION, "network_steps"]
    )
    found = []
    rows = rows[rows["machine"].isin(COMPARED)]
    rows = rows.assign(machine=pd.Categorical(rows["machine"], COMPARED))  # in this order
    runs = rows.groupby(["group", "network_steps", "machine"], observed=True)
    for (name, steps, machine), group in runs:
        about = group[DESCRIPTION].iloc[0]
        key = (*about, steps)
        if key not in theirs.index:
            continue
        defined = group.assign(pearson_r=with_undefined_as_zero(group["pearson_r"]))
        r = defined.pivot(index="network", columns="seed", values="pearson_r").dropna(axis=1)
        found.append(
            {"network": name, **about, "network_steps": steps, "machine": machine}
            | _compared(
                r.to_numpy(),
                float(theirs.at[key, machine]),
                int(paper.setup["seeds"]),
                _sd_training(trainings, name, steps, machine),
                protocol,
            )
        )
    return pd.DataFrame(found, columns=COLUMNS)


COLUMNS = [
    *("network", *DESCRIPTION, "network_steps", "machine", "trainings", "seeds"),
    *("pearson_r", "paper", "difference", "low", "high", "p_value"),
    *("sd_seeds", "sd_training", "sd_paper", "verdict"),
]


def _sd_training(trainings: pd.DataFrame, network: str, steps: int, machine: str) -> float:
    own = trainings[
        (trainings["network"] == network)
        & (trainings["network_steps"] == steps)
        & (trainings["machine"] == machine)
    ]
    return float((trainings if own.empty else own)["sd_training"].max())


def _compared(
    r: np.ndarray, paper: float, seeds_of_paper: int, sd_training: float, protocol: Protocol
) -> dict[str, object]:
    """A row of :func:`equivalence` from r (trainings, seeds)."""
    trainings, seeds = r.shape
    median = float(np.median(r, axis=1).mean())
    medians = medians_of_resamples(r, RESAMPLES)  # (trainings, RESAMPLES)
    sd_seeds = float(medians.mean(axis=0).std())
    one_training = float(medians.std(axis=1).mean())
    sd_paper = math.hypot(one_training * math.sqrt(seeds / seeds_of_paper), sd_training, SD_ROUNDED)
    error = math.hypot(sd_seeds, sd_training / math.sqrt(trainings), sd_paper)
    difference = median - paper
    half = NormalDist().inv_cdf(1 - protocol.significance) * error
    low, high = difference - half, difference + half
    return {
        "trainings": trainings,
        "seeds": seeds,
        "pearson_r": median,
        "paper": paper,
        "difference": difference,
        "low": low,
        "high": high,
        "p_value": NormalDist(0, error).cdf(abs(difference) - protocol.margin),
        "sd_seeds": sd_seeds,
        "sd_training": sd_training / math.sqrt(trainings),
        "sd_paper": sd_paper,
        "verdict": _verdict(low, high, seeds, protocol.margin),
    }


def _verdict(low: float, high: float, seeds: int, margin: float) -> str:
    if seeds < FEW_SEEDS:
        return UNDECIDED
    if -margin < low and high < margin:
        return LEVEL
    return ABOVE if low > 0 else BELOW if high < 0 else UNDECIDED


def tally(table: pd.DataFrame) -> pd.DataFrame:
    """How many rows of :func:`equivalence` have each verdict: a row a machine.

    Returns:
        machine, compared, the VERDICTS, upward: of how many rows our median is the higher one.
    """
    counts = table.groupby(["machine", "verdict"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=list(VERDICTS), fill_value=0)
    counts.insert(0, "compared", counts.sum(axis=1))
    counts["upward"] = (table["difference"] > 0).groupby(table["machine"]).sum()
    return counts.reindex([m for m in COMPARED if m in counts.index]).reset_index()
