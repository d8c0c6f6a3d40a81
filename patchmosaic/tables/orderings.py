"""The paper's orderings (its tables 1 and 2, in words), each asked of our numbers seed by seed."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

import pandas as pd

from patchmosaic.analysis.intervals import clear_sign, paired_difference, with_undefined_as_zero
from patchmosaic.tables.headline import DESCRIPTION, with_copies

CLAIMS = {
    "els_above_is": "ELS agrees better than IS",
    "els_above_ls": "ELS agrees better than LS with ResNets",
    "more_steps": "ELS agrees better with networks that sample in more steps",
    "zeros_above_circular": "ELS agrees better with zero-padded than with circular ResNets",
    "circular_mnist_lowest": "ELS agrees less with the circular ResNet of MNIST than with others",
}
LOWEST = ("mnist", "resnet", "circular")  # with which ELS is said to agree least


class _Run(NamedTuple):
    """Machine and network of one median: the network's name, its steps, the machine."""

    network: str
    network_steps: int
    machine: str


def orderings(
    agreement: pd.DataFrame, paper: pd.DataFrame, kinds: Mapping[str, Hashable]
) -> pd.DataFrame:
    """Every pair of medians that one of the paper's orderings is about.

    Seeds are paired: both sides start from the same noise where their images have the same shape.

    Args:
        agreement: the per-seed rows of tables/agreement.csv.
        paper: rows of the paper's tables, as
            :func:`patchmosaic.tables.paper.load_paper` reads them.
        kinds: what each network is beside its padding; those of one kind differ in that alone.

    Returns:
        claim (a key of CLAIMS), a and b (what is compared, a said to be above), seeds, difference
        (median of a - b in Pearson's r), low, high, positive, negative, ties, p_value, paper (the
        difference of the paper's medians) and verdict: "holds", "reversed" or "not separated" as
        :func:`patchmosaic.analysis.intervals.clear_sign` decides.
    """
    names = agreement.groupby("network")[DESCRIPTION].first()
    values = {
        _Run(*key): with_undefined_as_zero(group.set_index("seed")["pearson_r"])
        for key, group in agreement.groupby(["network", "network_steps", "machine"])
    }
    theirs = with_copies(paper, agreement["dataset"]).set_index([*DESCRIPTION, "network_steps"])
    medians = {
        run: theirs[run.machine].get((*names.loc[run.network], run.network_steps), math.nan)
        for run in values
        if run.machine in theirs
    }
    rows = []
    for claim, a, b in _pairs(sorted(values), names, kinds):
        seeds = values[a].index.intersection(values[b].index)
        found = paired_difference(values[a][seeds], values[b][seeds])._asdict()
        row = {"claim": claim, "a": _words(a), "b": _words(b), "seeds": len(seeds)}
        row |= {"difference": found.pop("estimate")} | found
        row["paper"] = medians.get(a, math.nan) - medians.get(b, math.nan)
        sign = clear_sign(found["low"], found["high"], found["p_value"])
        row["verdict"] = {1: "holds", -1: "reversed", 0: "not separated"}[sign]
        rows.append(row)
    columns = ["claim", "a", "b", "seeds", "difference", "low", "high", "positive", "negative"]
    return pd.DataFrame(rows, columns=[*columns, "ties", "p_value", "paper", "verdict"])


def _pairs(
    runs: list[_Run], names: pd.DataFrame, kinds: Mapping[str, Hashable]
) -> Iterator[tuple[str, _Run, _Run]]:
    """Claims with the two runs that each is about, in the order of CLAIMS."""
    known, els = set(runs), [run for run in runs if run.machine == "els"]
    resnets = [run for run in els if names.at[run.network, "architecture"] == "resnet"]
    for claim, machine, chosen in (("els_above_is", "is", els), ("els_above_ls", "ls", resnets)):
        for run in chosen:
            if (other := run._replace(machine=machine)) in known:
                yield claim, run, other
    for run in els:
        fewer = [r for r in els if r.network == run.network and r.network_steps < run.network_steps]
        for other in fewer:
            yield "more_steps", run, other
    for a, b in product(resnets, resnets):
        paddings = tuple(names.loc[[a.network, b.network], "padding"])
        if (
            paddings == ("zeros", "circular")
            and kinds[a.network] == kinds[b.network]
            and a.network_steps == b.network_steps
        ):
            yield "zeros_above_circular", a, b
    columns = ["dataset", "architecture", "padding"]
    lowest = [run for run in els if tuple(names.loc[run.network, columns]) == LOWEST]
    for a, b in product(els, lowest):
        if a not in lowest and a.network_steps == b.network_steps:
            yield "circular_mnist_lowest", a, b


def _words(run: _Run) -> str:
    return f"{run.machine.upper()}, {run.network}, {run.network_steps} steps"


def tally(table: pd.DataFrame) -> pd.DataFrame:
    """How often each claim holds: text, compared, holds, not separated, reversed.

    And paper, in how many of paper_compared the paper's own medians are in this order.

    Args:
        table: as :func:`orderings` makes it.
    """
    counts = table.groupby(["claim", "verdict"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["holds", "not separated", "reversed"], fill_value=0)
    counts = counts.reindex([claim for claim in CLAIMS if claim in counts.index])
    counts.insert(0, "compared", counts.sum(axis=1))
    theirs = table.dropna(subset=["paper"]).groupby("claim")["paper"]
    counts["paper"] = theirs.apply(lambda difference: int((difference > 0).sum()))
    counts["paper_compared"] = theirs.size()
    counts = counts.fillna(0).astype(int)
    counts.insert(0, "text", counts.index.map(CLAIMS))
    return counts.reset_index(drop=True)
