"""The headline table: median agreement per network, beside the paper's and our committed one.

headline(agreement, paper.rows)  # one row a network, number of steps and machine
verdicts(headline, paired)       # is ELS clearly above IS?
answer(*count_verdicts(...))     # so what of the paper's claim?
summary(headline, paired)        # all of it in a few sentences
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from patchmosaic.analysis.intervals import (
    bootstrap_median,
    clear_sign,
    proportion,
    with_undefined_as_zero,
)
from patchmosaic.datasets.registry import REGISTRY
from patchmosaic.machines.registry import ordered

DESCRIPTION = ["dataset", "architecture", "padding", "conditional"]
"""What describes a network in the paper's tables."""


RUN = ["network", "network_steps", "machine"]


MEASURES = ["pearson_r", "r_squared", "r2_determination", "cosine", "rmse"]


COLUMNS = [
    *DESCRIPTION,
    "network_steps",
    "machine",
    "seeds",
    "pearson_r",
    "pearson_r_low",
    "pearson_r_high",
    "r_squared",
    "r2_determination",
    "fraction_better_than_is",
    "paper",
    "difference",
    "network",
    "fraction_low",
    "fraction_high",
    *MEASURES[3:],
    "undefined",
    *(f"{value}_{end}" for value in MEASURES[1:] for end in ("low", "high")),
]


FEW_SEEDS = 10
ABOVE, BELOW = "ELS clearly above IS", "ELS clearly below IS"


def headline(agreement: pd.DataFrame, paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """Medians over seeds, one row a dataset, architecture, padding, conditional, steps, machine.

    Of values :func:`patchmosaic.analysis.intervals.with_undefined_as_zero`; the column `undefined`
    says how many of r were.

    Args:
        agreement: the per-seed columns of
            :func:`patchmosaic.analysis.agreement.agreement` with network,
            dataset, architecture, padding, conditional (bool), network_steps and machine. Networks
            of one description that differ in name keep rows of their own. Tables that were kept
            before a measure was there lack its column, or have nothing in it.
        paper: columns dataset, architecture, padding, conditional, network_steps, els, ls, is: the
            paper's medians, which are Pearson's r; None leaves `paper` and `difference` empty.
            Altered copies find the rows of their originals, as by :func:`with_copies`.

    Returns:
        The columns COLUMNS. <value>_low and _high are the bootstrap 95% interval of the median;
        fraction_better_than_is, empty for machine "is", has its Wilson 95% interval in fraction_low
        and fraction_high; rmse is in units of pixels in [-1, 1]; difference is ours - paper. What
        was not measured is empty.

    Raises:
        ValueError: on missing columns, an unknown machine, a seed that occurs twice, or no rows.
    """
    keys = [*DESCRIPTION, *RUN]
    missing = sorted({*keys, "pearson_r", "seed", "better_than_is"} - set(agreement.columns))
    if missing:
        raise ValueError(f"agreement lacks the columns {', '.join(missing)}")
    if agreement.empty:
        raise ValueError("agreement has no rows: there is nothing to take a median of")
    for column in ("conditional", "better_than_is"):
        if agreement[column].dtype != bool:
            raise ValueError(
                f"column {column} is {agreement[column].dtype}: expected true or false"
            )
    machines = ordered(agreement["machine"])
    rows = []
    for key, group in agreement.groupby(keys):
        if group["seed"].duplicated().any():
            raise ValueError(f"seeds occur more than once for {dict(zip(keys, key, strict=True))}")
        row = dict(zip(keys, key, strict=True))
        row |= {"seeds": len(group), "undefined": int(group["pearson_r"].isna().sum())}
        for value in MEASURES:
            if not _is_measured(value, group):
                continue
            interval = bootstrap_median(with_undefined_as_zero(group[value]))
            row |= {value: interval.estimate, f"{value}_low": interval.low}
            row[f"{value}_high"] = interval.high
        if row["machine"] != "is":
            better = proportion(int(group["better_than_is"].sum()), len(group))
            row["fraction_better_than_is"], row["fraction_low"], row["fraction_high"] = better
        rows.append(row)
    table = pd.DataFrame(rows)
    where = [*DESCRIPTION, "network_steps", "machine"]
    if paper is None:
        table["paper"] = math.nan
    else:
        reported = with_copies(paper, agreement["dataset"]).melt(
            [*DESCRIPTION, "network_steps"], ["els", "ls", "is"], "machine", "paper"
        )
        table = table.merge(reported, how="left", on=where, validate="many_to_one")
    table["difference"] = table["pearson_r"] - table["paper"]
    table = table.reindex(columns=COLUMNS)
    order = table["machine"].map(machines.index)
    return (
        table.assign(order=order)
        .sort_values([*DESCRIPTION, "network", "network_steps", "order"], ignore_index=True)
        .drop(columns="order")
    )


def _is_measured(value: str, group: pd.DataFrame) -> bool:
    """Whether a measure is there; where r is undefined, it may be, too."""
    return value in group and bool((group[value].notna() | group["pearson_r"].isna()).any())


def originals(datasets: Iterable[str]) -> dict[str, str]:
    """Of these datasets the altered copies, each with the dataset of the paper that it copies."""
    known = (REGISTRY[name] for name in sorted(set(datasets)) if name in REGISTRY)
    return {dataset.id: dataset.copy_of for dataset in known if dataset.copy_of}


def with_copies(paper: pd.DataFrame, datasets: Iterable[str]) -> pd.DataFrame:
    """The paper's rows, and again by the name of each of ``datasets`` that is an altered copy.

    So numbers of cifar10_jpeg, CIFAR-10 recompressed, are beside the paper's for CIFAR-10. Rows of
    a copy follow those of its original.
    """
    again = [
        paper[paper["dataset"] == original].assign(dataset=copy)
        for copy, original in originals(datasets).items()
    ]
    return pd.concat([paper, *again]).sort_index(kind="stable").reset_index(drop=True)


def describe_network(row: Mapping[str, object] | pd.Series) -> str:
    """A network in words, such as "mnist, resnet, zeros padding, unconditional"."""
    condition = "class-conditional" if row["conditional"] else "unconditional"
    return f"{row['dataset']}, {row['architecture']}, {row['padding']} padding, {condition}"


def verdicts(headline: pd.DataFrame, paired: pd.DataFrame) -> pd.DataFrame:
    """Whether ELS agrees with a network better than IS does: one row a network and number of steps.

    Both machines start from the same noise, so the difference of their r, seed by seed, decides:
    ABOVE, BELOW or "not separated", by :func:`patchmosaic.analysis.intervals.clear_sign`.

    Args:
        headline: as :func:`headline` makes it.
        paired: as :func:`patchmosaic.analysis.agreement.paired_differences` makes it;
            rows of ELS and IS are used.

    Returns:
        network, dataset, architecture, padding, conditional, network_steps, seeds, els, els_low,
        els_high, is, is_low, is_high, difference, difference_low, difference_high, p_value (of the
        sign test), paper (of ELS), verdict.
    """
    rows = []
    keys = [*DESCRIPTION, "network", "network_steps"]
    run = ["network", "network_steps"]
    differences = paired[(paired["a"] == "els") & (paired["b"] == "is")].set_index(run)
    for key, group in headline.groupby(keys):
        row = dict(zip(keys, key, strict=True))
        by_machine = group.set_index("machine")
        for machine in ("els", "is"):
            found = machine in by_machine.index
            for end in ("", "_low", "_high"):
                column = f"pearson_r{end}"
                row[machine + end] = by_machine.at[machine, column] if found else math.nan
        row["seeds"] = int(group["seeds"].max())
        names = {"difference": "difference", "difference_low": "low", "difference_high": "high"}
        for column, name in (names | {"p_value": "p_value"}).items():
            row[column] = differences[name].get((row["network"], row["network_steps"]), math.nan)
        row["paper"] = by_machine["paper"].get("els", math.nan)
        row["verdict"] = _verdict(row)
        rows.append(row)
    order = ["network", *DESCRIPTION, "network_steps", "seeds"]
    values = [m + end for m in ("els", "is", "difference") for end in ("", "_low", "_high")]
    values += ["p_value", "paper", "verdict"]
    return pd.DataFrame(rows, columns=[*order, *values])


def _verdict(row: Mapping[str, float]) -> str:
    for machine in ("els", "is"):
        if math.isnan(row[machine]):
            return f"no {machine.upper()} to compare"
    sign = clear_sign(row["difference_low"], row["difference_high"], row["p_value"])
    return {1: ABOVE, -1: BELOW, 0: "not separated"}[sign]


def count_verdicts(verdicts: pd.DataFrame) -> tuple[int, int, int]:
    """Of :func:`verdicts`: how many compare ELS and IS, how many are ABOVE, how many BELOW."""
    compared = int(verdicts[["els", "is"]].notna().all(axis=1).sum())
    above, below = (int((verdicts["verdict"] == word).sum()) for word in (ABOVE, BELOW))
    return compared, above, below


def answer(compared: int, above: int, below: int) -> str:
    """The verdict on the paper's claim, a sentence: whether ELS agrees better than IS.

    Args:
        compared: networks and numbers of steps in which there are both.
        above, below: in how many of them ELS is clearly better, and worse.
    """
    if compared == 0:
        return "The claim could not be asked here."
    if above == compared:
        return "The claim holds in every comparison."
    if below == 0 and above > compared / 2:
        return "The claim holds in most comparisons and is contradicted by none."
    if above > compared / 2:
        return "The claim holds in most comparisons, not in all."
    if below > compared / 2:
        return "The claim does not hold."
    return "The claim is neither confirmed nor refuted."


def summary(headline: pd.DataFrame, paired: pd.DataFrame) -> str:
    """The headline in a few sentences, all of it computed from the tables; see :func:`verdicts`."""
    rows = verdicts(headline, paired).dropna(subset=["els", "is"])
    if rows.empty:
        return "No network has both ELS and IS: there is nothing to compare."
    compared, above, below = count_verdicts(rows)
    return (
        f"In {above} of {compared} comparisons the ELS machine, which has no trained weights, "
        "agrees with the trained network clearly better than IS, the memorising baseline; in "
        f"{below or 'none'} clearly worse (95% interval of the median difference, seed by seed, on "
        "one side of 0, and exact sign test below .05). "
        f"Median Pearson r with the network: ELS {_range(rows['els'])}, IS {_range(rows['is'])}."
        + _coverage_note(int(headline["seeds"].min()))
        + _copies_note(headline)
    )


def _coverage_note(seeds: int) -> str:
    """A warning where seeds are too few for the nominal level.

    No interval between order statistics covers the median of n draws with more than 1 - 2^(1 - n):
    87.5% for n = 4; the bootstrap reaches 95% from about 10 on.
    """
    if seeds >= FEW_SEEDS:
        return ""
    most = 1 - 2.0 ** (1 - seeds)
    how_much = f"at most {100 * most:.1f}%" if most < 0.95 else "how much less is not known"
    return f" With only {seeds} seeds the intervals cover less than their nominal 95%: {how_much}."


def _copies_note(headline: pd.DataFrame) -> str:
    beside = headline[headline["paper"].notna()]
    return "".join(
        f" The paper's numbers beside {copy} ({REGISTRY[copy].title}, {REGISTRY[copy].remark}) are "
        f"those for {original}."
        for copy, original in originals(beside["dataset"]).items()
    )


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"
