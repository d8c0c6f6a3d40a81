"""The paper's tables 1 and 2 with our numbers beside theirs, as csv, LaTeX and text for pages."""

from __future__ import annotations

import pandas as pd

from patchmosaic.datasets.registry import REGISTRY
from patchmosaic.machines.registry import MACHINES
from patchmosaic.tables.headline import DESCRIPTION, originals, with_copies
from patchmosaic.tables.text import format_interval, format_number

REPORTED = tuple(name for name, row in MACHINES.items() if row.is_reported)
SHARE = "fraction_better_than_is"


def beside_paper(headline: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Every row of the paper's tables, with our medians where there are any, then our other rows.

    Args:
        headline: as :func:`patchmosaic.tables.headline.headline` makes it.
        paper: rows of the paper's tables, as
            :func:`patchmosaic.tables.paper.load_paper` reads them.

    Returns:
        table (the paper's number, empty for rows of ours only), dataset, architecture, padding,
        conditional, network_steps, network and seeds (ours); paper_dataset, which differs from
        dataset where that is an altered copy; for each machine `<machine>_ours`
        with its interval `<machine>_low`, `<machine>_high` and `<machine>_paper`, Pearson's r; and
        fraction_ours with its Wilson interval fraction_low, fraction_high, and fraction_paper, the
        share of seeds where ELS agrees better than IS.
    """
    keys = [*DESCRIPTION, "network_steps"]
    runs = [*keys, "network"]
    ours = headline.groupby(runs, as_index=False)["seeds"].max()
    for machine in REPORTED:
        names = {
            "pearson_r": f"{machine}_ours",
            "pearson_r_low": f"{machine}_low",
            "pearson_r_high": f"{machine}_high",
        }
        if machine == "els":
            names |= {SHARE: "fraction_ours"}
            names |= {end: end for end in ("fraction_low", "fraction_high")}
        rows = headline[headline["machine"] == machine]
        ours = ours.merge(rows[[*runs, *names]].rename(columns=names), how="left", on=runs)
    theirs = with_copies(paper, headline["dataset"]).rename(
        columns={m: f"{m}_paper" for m in REPORTED} | {SHARE: "fraction_paper"}
    )
    theirs["order"] = range(len(theirs))
    theirs["paper_dataset"] = theirs["dataset"].replace(originals(headline["dataset"]))
    table = theirs.merge(ours, how="outer", on=keys, sort=False)
    of_paper = table["dataset"].isin(set(paper["dataset"]))
    table = table[of_paper | table["network"].notna()]  # of copies only what was run
    table = table.sort_values("order", kind="stable", ignore_index=True)
    values = [f"{m}_{kind}" for m in REPORTED for kind in ("ours", "low", "high", "paper")]
    values += [f"fraction_{kind}" for kind in ("ours", "low", "high", "paper")]
    columns = ["table", *keys, "network", "seeds", *values, "paper_dataset"]
    return table[columns].astype({"table": "Int64", "seeds": "Int64"})


def blocks(table: pd.DataFrame) -> list[tuple[str, list[list[str]]]]:
    """For each of the paper's tables, and for rows of ours only, a title and lines of text."""
    blocks = []
    for number, rows in table.groupby(table["table"].fillna(0), sort=False):
        steps = ", ".join(str(n) for n in sorted(rows["network_steps"].unique()))
        title = f"Table {number}, {steps} network steps" if number else "Ours only"
        lines = []
        repeated = rows.duplicated([*DESCRIPTION, "network_steps"], keep=False)
        for row, is_repeated in zip(rows.to_dict("records"), repeated, strict=True):
            condition = "class-conditional" if row["conditional"] else "unconditional"
            architecture = row["network"] if is_repeated else row["architecture"]
            words = [row["dataset"], architecture, row["padding"], condition]
            words.append(str(row["network_steps"]))
            for m in REPORTED:
                words.append(
                    format_interval(row[f"{m}_ours"], row[f"{m}_low"], row[f"{m}_high"], 2)
                )
                words.append(format_number(row[f"{m}_paper"], ".2f"))
            ours, low, high = (row[f"fraction_{kind}"] for kind in ("ours", "low", "high"))
            words += [
                format_interval(ours, low, high, 2),
                format_number(row["fraction_paper"], ".2f"),
            ]
            words.append(_seeds(row))
            lines.append(words)
        blocks.append((title, lines))
    return blocks


def _seeds(row: dict) -> str:
    """How many, or why there are none where only the user can bring the images."""
    if not pd.isna(row["seeds"]):
        return str(row["seeds"])
    dataset = REGISTRY.get(row["dataset"])
    return "bring the images" if dataset is not None and dataset.only_local else ""


FIRST = ["dataset", "network", "padding", "condition", "steps"]
GROUPS = [*(m.upper() for m in REPORTED), "ELS better than IS"]


def to_latex(table: pd.DataFrame) -> str:
    """A booktabs tabular for each of the paper's tables; needs the package booktabs."""

    def line(words: list[str]) -> str:
        return " & ".join(word.replace("_", r"\_") for word in words) + r" \\"

    count = len(FIRST) + 2 * len(GROUPS) + 1
    groups = "".join(rf" & \multicolumn{{2}}{{c}}{{{group}}}" for group in GROUPS)
    text = ["% median Pearson r with its 95% bootstrap interval; share of seeds, Wilson; n seeds"]
    copies = originals(table["dataset"])
    text += [f"% {copy}: the paper's numbers are for {name}" for copy, name in copies.items()]
    for title, lines in blocks(table):
        text += [
            f"% {title}",
            rf"\begin{{tabular}}{{{'l' * len(FIRST)}{'r' * (count - len(FIRST))}}}",
            r"\toprule",
            " &" * (len(FIRST) - 1) + groups + r" & \\",
            line([*FIRST, *["ours", "paper"] * len(GROUPS), "n"]),
            r"\midrule",
            *map(line, lines),
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    return "\n".join(text)
