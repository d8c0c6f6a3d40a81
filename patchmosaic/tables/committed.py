"""Our committed numbers, and what moved beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from patchmosaic.machines.registry import MACHINES
from patchmosaic.tables.headline import RUN
from patchmosaic.tables.rows import (
    TEXT,
    Field,
    checked_rows,
    choice,
    content_of,
    integer,
    number,
)

_ROW: dict[str, Field] = {
    "network": TEXT,
    "network_steps": integer(1),
    "machine": choice(*MACHINES),
    "pearson_r": number(-1, 1),
    "tolerance": number(0, 1, above=True),
    "reason": TEXT,
}


def load_committed(path: str | Path) -> dict[str, pd.DataFrame]:
    """Read and check committed.yaml.

    Returns:
        For each experiment network, network_steps, machine, pearson_r, tolerance, reason.

    Raises:
        ValueError: naming file, key, value and what is allowed, on YAML errors, missing or unknown
            keys, values of a wrong type or out of range, and rows that occur twice.
    """
    with content_of(path) as content:
        if not isinstance(content, dict):
            raise ValueError(f"the file is {content!r}: expected experiments, each a list of rows")
        return {name: checked_rows(name, rows, _ROW, RUN) for name, rows in content.items()}


def compare(
    headline: pd.DataFrame, committed: Mapping[str, pd.DataFrame], experiment: str
) -> pd.DataFrame:
    """Each median of Pearson's r beside the committed one.

    Args:
        headline: as :func:`patchmosaic.tables.headline.headline` makes it.
        committed: as :func:`load_committed` reads it.
        experiment: whose numbers to compare with.

    Returns:
        One row a number: network, network_steps, machine, committed, found, tolerance, moved
        (found - committed), ok, note. ok is true only where the number is within its tolerance: a
        row that is missing on either side is not ok, and where an experiment has no committed
        numbers none is, with the note "nothing committed for experiment ...".
    """
    if headline.empty:
        raise ValueError("the headline has no rows: there is nothing to compare")
    ours = committed.get(experiment, pd.DataFrame(columns=list(_ROW)))
    table = ours.rename(columns={"pearson_r": "committed"}).merge(
        headline[[*RUN, "pearson_r"]].rename(columns={"pearson_r": "found"}),
        how="outer",
        on=RUN,
        validate="one_to_one",
    )
    for column in ("committed", "tolerance"):
        table[column] = table[column].astype(float)
    # Rounded, so that a number which moved by exactly its tolerance is within it.
    table["moved"] = (table["found"] - table["committed"]).round(9)
    table["ok"] = table["moved"].abs() <= table["tolerance"]
    table["note"] = [_note(row, experiment, ours.empty) for row in table.itertuples()]
    table = table.sort_values(RUN, ignore_index=True)
    return table[[*RUN, "committed", "found", "tolerance", "moved", "ok", "note"]]


def _note(row: Any, experiment: str, nothing_committed: bool) -> str:
    if nothing_committed:
        return f"nothing committed for experiment {experiment}"
    if math.isnan(row.committed):
        return "found, but not committed"
    if math.isnan(row.found):
        return "committed, but not found"
    return "" if row.ok else "moved beyond its tolerance"
