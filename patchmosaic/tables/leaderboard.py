"""The leaderboard: every predictor beside every network from the same noise, by every measure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from patchmosaic.analysis.intervals import (
    bootstrap_median,
    holm,
    paired_difference,
    proportion,
    with_undefined_as_zero,
)
from patchmosaic.tables.text import format_interval, format_number

ALL = "all networks"
"""In the column of networks: means over them, seed by seed."""

SIBLING = "sibling network"
"""In the column of predictors: another network that was trained for the same."""

RIVALS = ("is", "wiener")
"""Machines that every other is compared with, where they are."""

MEDIANS = ("pearson_r", "r_squared", "r2_determination", "mse", "high_pass_r", "ssim")
MEAN = "r2_sample_variance"
COSTS = ("seconds", "cpu_seconds", "gib")
WORDS = ("label", "sees", "settings", "source", "protocol")
FACTS = (*WORDS, *COSTS)
_BLOCK = ["network", "network_steps"]
_KEYS = [*_BLOCK, "machine"]

COLUMNS = [
    *_BLOCK,
    "rank",
    "machine",
    *WORDS,
    "seeds",
    "undefined",
    *(f"{name}{end}" for name in MEDIANS for end in ("", "_low", "_high")),
    f"{MEAN}_mean",
    *(
        column
        for rival in RIVALS
        for column in (
            *(f"better_than_{rival}{end}" for end in ("", "_low", "_high")),
            *(f"minus_{rival}{end}" for end in ("", "_low", "_high")),
            f"p_{rival}",
            f"p_{rival}_holm",
        )
    ),
    *COSTS,
]


def leaderboard(agreement: pd.DataFrame, facts: pd.DataFrame) -> pd.DataFrame:
    """A row a network, number of steps and predictor, each block from the best median r down.

    Args:
        agreement: a row a seed, as of :func:`patchmosaic.analysis.agreement.agreement` and
            :func:`patchmosaic.analysis.agreement.more_measures`, with network, network_steps and
            machine.
        facts: network, network_steps, machine and FACTS: what there is to say of each.

    Returns:
        COLUMNS. Of several networks the first rows are of ALL: of predictors that each has, the
        values are first averaged over networks, seed by seed. <value>_low and _high are 95%
        intervals: of a median by bootstrap, of a share (better_than_<rival>) Wilson's.
        minus_<rival> is the median difference of r, p_<rival> the p of the exact two-sided sign
        test, and p_<rival>_holm that p corrected for all tests of the table. rank leaves out
        predictors that see weights. seconds and cpu_seconds are of one sample, gib is the peak of
        a job.
    """
    missing = sorted({*_KEYS, *MEDIANS, MEAN, "seed"} - set(agreement.columns))
    if missing:
        raise ValueError(f"agreement lacks the columns {', '.join(missing)}")
    values = [*MEDIANS, MEAN]
    table = agreement[[*_KEYS, "seed", *values]].copy()
    table["undefined"] = table["pearson_r"].isna().astype(float)
    table[values] = with_undefined_as_zero(table[values])
    if table["network"].nunique() > 1:
        table = pd.concat([_over_networks(table), table])
        facts = pd.concat([_facts_over_networks(facts), facts])
    blocks = [_block(group) for _, group in table.groupby(_BLOCK, sort=False)]
    found = pd.concat(blocks).merge(facts[[*_KEYS, *FACTS]], how="left", on=_KEYS)
    tests = [f"p_{rival}" for rival in RIVALS]
    found = found.reindex(columns=COLUMNS)
    found[[f"{test}_holm" for test in tests]] = holm(found[tests].to_numpy(float))
    unseeing = found[found["sees"] != "weights"].groupby(_BLOCK, sort=False)["pearson_r"]
    found["rank"] = unseeing.rank(ascending=False, method="min").astype("Int64")
    return found


def _over_networks(table: pd.DataFrame) -> pd.DataFrame:
    """Means over networks, seed by seed, of those predictors that every network has."""
    networks = table.groupby("network_steps")["network"].nunique()
    groups = table.drop(columns="network").groupby(["network_steps", "machine", "seed"], sort=False)
    means = groups.mean()[groups.size() == networks.reindex(groups.size().index, level=0)]
    return means.reset_index().assign(network=ALL)


def _facts_over_networks(facts: pd.DataFrame) -> pd.DataFrame:
    """What there is to say over all networks: different words, mean seconds, the greatest peak."""
    how: dict[str, Any] = {"seconds": "mean", "cpu_seconds": "mean", "gib": "max"}
    for name in WORDS:
        how[name] = lambda words: "; ".join(filter(None, dict.fromkeys(words)))
    return facts.groupby(_KEYS[1:], sort=False).agg(how).reset_index().assign(network=ALL)


def _block(group: pd.DataFrame) -> pd.DataFrame:
    """The rows of one network and number of steps, from the best median r down."""
    r = group.pivot(index="seed", columns="machine", values="pearson_r")
    rows = []
    for machine, of_machine in group.groupby("machine", sort=False):
        row: dict[str, object] = {"network": group["network"].iloc[0], "machine": machine}
        row |= {"network_steps": group["network_steps"].iloc[0], "seeds": len(of_machine)}
        row["undefined"] = int((of_machine["undefined"] > 0).sum())
        for name in MEDIANS:
            row |= _with_ends(name, bootstrap_median(of_machine[name]))
        row[f"{MEAN}_mean"] = of_machine[MEAN].mean()
        for rival in RIVALS:
            if rival in r and rival != machine:
                row |= _against(rival, r[machine], r[rival])
        rows.append(row)
    return pd.DataFrame(rows).sort_values("pearson_r", ascending=False, kind="stable")


def _with_ends(name: str, interval: Sequence[float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval[:3], strict=True))


def _against(rival: str, ours: pd.Series, theirs: pd.Series) -> dict[str, float]:
    found = _with_ends(f"better_than_{rival}", proportion(int((ours > theirs).sum()), len(ours)))
    difference = paired_difference(ours, theirs)
    return found | _with_ends(f"minus_{rival}", difference) | {f"p_{rival}": difference.p_value}


def costs(benchmarks: Iterable[Path], seeds: int) -> dict[str, float]:
    """COSTS of a predictor by what Snakemake measured of its jobs, reading of the bank included.

    Args:
        benchmarks: a file a job; where one is missing, or says nothing, costs are not known.
        seeds: samples that the jobs made together.
    """
    unknown = dict.fromkeys(COSTS, math.nan)
    files = list(benchmarks)
    if not files or not all(path.is_file() for path in files):
        return unknown
    jobs = pd.concat(pd.read_csv(path, sep="\t", na_values=["-", "NA"]) for path in files)
    total = jobs[["s", "cpu_time"]].sum(min_count=len(jobs)) / seeds
    return {
        "seconds": float(total["s"]),
        "cpu_seconds": float(total["cpu_time"]),
        "gib": float(jobs["max_rss"].max()) / 1024,
    }


Cell = tuple[str, float | str]
"""What a cell says, and by what it is sorted."""

TITLES = {
    "rank": "rank",
    "label": "predictor",
    "pearson_r": "Pearson r [95% interval]",
    "sees": "sees of the network",
    "r_squared": "r²",
    "r2_determination": "R², median",
    f"{MEAN}_mean": "R², mean",
    "mse": "squared error",
    "high_pass_r": "high-passed r",
    "ssim": "SSIM",
    "better_than_is": "better than IS",
    "p_is_holm": "p, IS",
    "better_than_wiener": "better than Wiener",
    "p_wiener_holm": "p, Wiener",
    "seconds": "s",
    "cpu_seconds": "processor s",
    "gib": "GiB",
    "settings": "settings",
    "source": "source",
}
"""The columns of pages, and their words."""

_INTERVALS = {"pearson_r": 3, "better_than_is": 2, "better_than_wiener": 2}
_FORMATS = {
    "rank": ".0f",
    "p_is_holm": ".2g",
    "p_wiener_holm": ".2g",
    "seconds": ".1f",
    "cpu_seconds": ".1f",
    "gib": ".1f",
}


def blocks(table: pd.DataFrame) -> list[tuple[str, int, list[dict[str, Cell]]]]:
    """For pages, of each network and number of steps: both, and rows of cells under TITLES."""
    return [
        (network, steps, [_cells(row) for row in rows.to_dict("records")])
        for (network, steps), rows in table.groupby(_BLOCK, sort=False)
    ]


def _cells(row: dict) -> dict[str, Cell]:
    def cell(name: str) -> Cell:
        value = row[name]
        if pd.isna(value):
            return "", ""
        if isinstance(value, str):
            return value, value
        if name in _INTERVALS:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            return format_interval(value, low, high, _INTERVALS[name]), value
        return format_number(value, _FORMATS.get(name, ".3f")), float(value)

    return {name: cell(name) for name in TITLES}


_TERMINAL = (
    "rank",
    "label",
    "sees",
    "pearson_r",
    f"{MEAN}_mean",
    "mse",
    "better_than_is",
    "better_than_wiener",
    "seconds",
)


def format_leaderboard(table: pd.DataFrame) -> str:
    """The table as plain text for a terminal, with some of its columns."""
    parts = []
    for network, steps, rows in blocks(table):
        lines = [[TITLES[name] for name in _TERMINAL]]
        lines += [[row[name][0] for name in _TERMINAL] for row in rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        parts.append(f"{network}, {steps} network steps")
        parts += ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines] + [""]
    return "\n".join(parts)


def format_submission(table: pd.DataFrame, machine: str) -> str:
    """The rows of one predictor, with what is needed to compute them again.

    Raises ValueError where there are none.
    """
    rows = table[table["machine"] == machine]
    if rows.empty:
        known = ", ".join(dict.fromkeys(table["machine"]))
        raise ValueError(f"there is no predictor {machine!r}: choose one of {known}")
    lines = []
    for row in rows.to_dict("records"):
        block = table[(table[_BLOCK] == [row["network"], row["network_steps"]]).all(axis=1)]
        r = format_interval(row["pearson_r"], row["pearson_r_low"], row["pearson_r_high"], 3)
        line = f"{row['network']}, {row['network_steps']} steps: r {r} over {row['seeds']} seeds"
        if not pd.isna(row["rank"]):
            line += f", rank {row['rank']:.0f} of {block['rank'].max():.0f}"
        lines.append(line)
    for name in WORDS[1:]:
        words = dict.fromkeys(str(word) for word in rows[name].dropna() if word)
        lines.append(f"{name}: {'; '.join(words) or 'none'}")
    return "\n".join(lines)


def to_latex(table: pd.DataFrame) -> str:
    """A booktabs tabular for each network and number of steps; needs the package booktabs."""
    escaped = str.maketrans({**{c: f"\\{c}" for c in "_%&#$"}, "²": "$^2$"})
    shown = [name for name in TITLES if name not in ("settings", "source")]

    def line(words: Iterable[str]) -> str:
        return " & ".join(word.translate(escaped) for word in words) + r" \\"

    text = [
        "% medians over seeds; p: exact sign tests, corrected by Holm for all tests of the table"
    ]
    for network, steps, rows in blocks(table):
        text += [
            f"% {network}, {steps} network steps",
            rf"\begin{{tabular}}{{rlrl{'r' * (len(shown) - 4)}}}",
            r"\toprule",
            line(TITLES[name] for name in shown),
            r"\midrule",
            *(line(row[name][0] for name in shown) for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    return "\n".join(text)
