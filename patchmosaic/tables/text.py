"""Tables of numbers as text for the terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator

import pandas as pd

from patchmosaic.machines.registry import label
from patchmosaic.tables.headline import describe_network, summary


def format_interval(estimate: float, low: float, high: float, digits: int) -> str:
    """Such as "0.92 [0.90, 0.94]"; empty where there is no estimate."""
    if math.isnan(estimate):
        return ""
    return f"{estimate:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def format_number(value: float, spec: str) -> str:
    """The value in that format; empty where there is none."""
    return "" if math.isnan(value) else format(value, spec)


def span(values: Iterable[float], digits: int = 2) -> str:
    """Such as "0.52 to 0.66"."""
    values = sorted(values)
    low, high = (f"{value:.{digits}f}" for value in (values[0], values[-1]))
    return low if low == high else f"{low} to {high}"


def listed(words: Iterable[str]) -> str:
    """Such as "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def format_headline(headline: pd.DataFrame, paired: pd.DataFrame) -> str:
    """The headline as plain text for a terminal, a block of lines for each network.

    `steps` are the network's; the paper's number is a Pearson r. Tables as for :func:`verdicts`.
    """
    width = max(len("machine"), *headline["machine"].map(label).str.len())
    titles = (
        f"  steps  {'machine':<{width}}  seeds  Pearson r [95% interval]    r^2    R^2"
        "  beats IS [95% interval]  paper  ours-paper"
    )
    lines = [titles, "-" * len(titles)]
    for network, group in headline.groupby("network"):
        lines.append(f"{network} ({describe_network(group.iloc[0])})")
        for row in group.itertuples():
            paper = format_number(row.paper, ".2f")
            difference = format_number(row.difference, "+.3f")
            r = format_interval(row.pearson_r, row.pearson_r_low, row.pearson_r_high, 3)
            better = format_interval(
                row.fraction_better_than_is, row.fraction_low, row.fraction_high, 2
            )
            lines.append(
                f"  {row.network_steps:>5}  {label(row.machine):<{width}}  {row.seeds:>5}"
                f"  {r:>24}  {row.r_squared:5.3f}  {row.r2_determination:5.2f}"
                f"  {better:>23}  {paper:>5}  {difference:>10}"
            )
    lines.append("")
    for text in (summary(headline, paired), *_undefined(headline)):
        lines += textwrap.wrap(text, len(titles))
    return "\n".join(line.rstrip() for line in lines)


def _undefined(headline: pd.DataFrame) -> Iterator[str]:
    for row in headline[headline["undefined"] > 0].itertuples():
        yield (
            f"{row.network}, {row.network_steps} steps, {label(row.machine)}: r is undefined (a "
            f"constant image) on {row.undefined} of {row.seeds} seeds; there it counts as 0."
        )


def format_comparison(comparison: pd.DataFrame) -> str:
    """The comparison as plain text for a terminal, ending in a line that says how it went."""
    width = max(len("network"), *comparison["network"].str.len())
    wide = max(len("machine"), *comparison["machine"].map(label).str.len())
    titles = (
        f"{'network':<{width}}  steps  {'machine':<{wide}}  committed  found  tolerance   moved"
    )
    titles += "  ok   note"
    lines = [titles, "-" * len(titles)]
    for row in comparison.itertuples():
        lines.append(
            f"{row.network:<{width}}  {row.network_steps:>5}  {label(row.machine):<{wide}}"
            f"  {format_number(row.committed, '.3f'):>9}  {format_number(row.found, '.3f'):>5}"
            f"  {format_number(row.tolerance, '.3f'):>9}  {format_number(row.moved, '+.3f'):>6}"
            f"  {'yes' if row.ok else 'NO':<3}  {row.note}"
        )
    good, n = int(comparison["ok"].sum()), len(comparison)
    lines += ["", f"{good} of {n} numbers are as committed."]
    nothing = comparison["note"].str.startswith("nothing committed")
    if nothing.all():
        lines[-1] = f"{comparison['note'].iloc[0]}: {n} numbers found, none of them checked."
    return "\n".join(line.rstrip() for line in lines)
