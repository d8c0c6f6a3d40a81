"""The paper's numbers: the rows of its tables 1 and 2, and what it says of how they were made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from patchmosaic.networks.config import PADDINGS
from patchmosaic.networks.registry import ARCHITECTURES
from patchmosaic.tables.headline import DESCRIPTION
from patchmosaic.tables.rows import (
    BOOLEAN,
    TEXT,
    Field,
    check_fields,
    checked_rows,
    choice,
    content_of,
    integer,
    number,
)

_ARCHITECTURES = tuple(dict.fromkeys(row.in_paper or name for name, row in ARCHITECTURES.items()))
_ROW: dict[str, Field] = {
    "table": integer(1),
    "network_steps": integer(1),
    "dataset": TEXT,
    "architecture": choice(*_ARCHITECTURES),
    "padding": choice(*PADDINGS),
    "conditional": BOOLEAN,
    "els": number(-1, 1),
    "ls": number(-1, 1),
    "is": number(-1, 1),
    "fraction_better_than_is": number(0, 1),
}
_SETUP: dict[str, Field] = {
    "seeds": integer(1),
    "machine_steps": integer(1),
    "trajectories": TEXT,
    "calibration_images": integer(1),
    "resnet_channels": integer(1),
    "unet_channels": integer(1),
}
_FILE: dict[str, Field] = {
    "source": TEXT,
    "rows": (lambda v: isinstance(v, list), "a list of rows"),
    "setup": (lambda v: isinstance(v, dict), f"the keys {', '.join(_SETUP)}"),
}


@dataclass(frozen=True)
class Paper:
    """The content of numbers/paper.yaml.

    source: where the numbers stand. rows: table, network_steps, dataset, architecture, padding,
    conditional, els, ls, is, fraction_better_than_is. setup: evaluation seeds, machine_steps,
    trajectories and calibration_images of the calibration, channels of its networks.
    """

    source: str
    rows: pd.DataFrame
    setup: dict[str, int | str]


def load_paper(path: str | Path) -> Paper:
    """Read and check paper.yaml.

    Raises:
        ValueError: naming file, key, value and what is allowed, on YAML errors, missing or unknown
            keys, values of a wrong type or out of range, and rows that occur twice.
    """
    with content_of(path) as content:
        check_fields("the file", content, _FILE)
        rows = checked_rows("rows", content["rows"], _ROW, [*DESCRIPTION, "network_steps"])
        check_fields("setup", content["setup"], _SETUP)
        return Paper(content["source"], rows, content["setup"])
