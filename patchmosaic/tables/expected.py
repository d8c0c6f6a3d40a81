"""The paper's numbers and our committed ones, and what moved beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from patchmosaic.machines.registry import MACHINES
from patchmosaic.networks.config import PADDINGS
from patchmosaic.networks.registry import ARCHITECTURES
from patchmosaic.tables.headline import _RUN, CONFIGURATION

# What numbers/expected.yaml may hold: for each key, the test of its value and what is allowed.
_Field = tuple[Callable[[object], bool], str]


def _integer(low: int) -> _Field:
    return lambda v: type(v) is int and v >= low, f"an integer from {low}"


def _number(low: float, high: float, *, above: bool = False) -> _Field:
    def fits(value: object) -> bool:
        return type(value) in (int, float) and low <= value <= high and not (above and value == low)

    return fits, f"a number {'above' if above else 'from'} {low} {'up ' if above else ''}to {high}"


def _choice(*allowed: str) -> _Field:
    return lambda v: v in allowed, f"one of {', '.join(allowed)}"


_TEXT: _Field = (lambda v: isinstance(v, str) and bool(v.strip()), "text")


# The architectures of the paper's tables, by the names that they have there.
_IN_PAPER = tuple(dict.fromkeys(row.in_paper or name for name, row in ARCHITECTURES.items()))

_PAPER_FIELDS: dict[str, _Field] = {
    "table": _integer(1),
    "network_steps": _integer(1),
    "dataset": _TEXT,
    "architecture": _choice(*_IN_PAPER),
    "padding": _choice(*PADDINGS),
    "conditional": (lambda v: isinstance(v, bool), "true or false"),
    "els": _number(-1, 1),
    "ls": _number(-1, 1),
    "is": _number(-1, 1),
    "fraction_better_than_is": _number(0, 1),
}


_COMMITTED_FIELDS: dict[str, _Field] = {
    "network": _TEXT,
    "network_steps": _integer(1),
    "machine": _choice(*MACHINES),
    "pearson_r": _number(-1, 1),
    "tolerance": _number(0, 1, above=True),
    "reason": _TEXT,
}


_TOP_KEYS = ("source", "paper", "committed")


@dataclass(frozen=True)
class Expected:
    """The content of numbers/expected.yaml.

    source: where the paper's numbers stand. paper: a row of its tables each: table, network_steps,
    dataset, architecture, padding, conditional, els, ls, is, fraction_better_than_is. committed:
    for each experiment network, network_steps, machine, pearson_r, tolerance, reason.
    """

    source: str
    paper: pd.DataFrame
    committed: dict[str, pd.DataFrame]


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key may not occur twice: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs more than once", node.start_mark
                )
        return super().construct_mapping(node, deep)


def load_expected(path: str | Path) -> Expected:
    """Read and check expected.yaml.

    Raises:
        ValueError: naming file, key, value and what is allowed, on YAML errors, missing or unknown
            keys, values of a wrong type or out of range, and rows that occur twice.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        _check_keys("the file", content, _TOP_KEYS)
        _check_field("source", content["source"], _TEXT)
        if not isinstance(content["committed"], dict):
            raise ValueError("committed: expected experiments, each with its list of rows")
        committed = {
            name: _rows(f"committed.{name}", rows, _COMMITTED_FIELDS, _RUN)
            for name, rows in content["committed"].items()
        }
        unique = [*CONFIGURATION, "network_steps"]
        paper = _rows("paper", content["paper"], _PAPER_FIELDS, unique)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Expected(content["source"], paper, committed)


def _rows(
    where: str, rows: object, fields: Mapping[str, _Field], unique: list[str]
) -> pd.DataFrame:
    if not isinstance(rows, list):
        raise ValueError(f"{where} is {rows!r}: expected a list of rows")
    for i, row in enumerate(rows):
        _check_keys(f"{where}[{i}]", row, fields)
        for key, field in fields.items():
            _check_field(f"{where}[{i}].{key}", row[key], field)
    table = pd.DataFrame(rows, columns=list(fields))
    repeated = table.index[table.duplicated(unique)]
    if len(repeated):
        raise ValueError(f"{where}[{repeated[0]}] repeats the {', '.join(unique)} of another row")
    return table


def _check_keys(where: str, found: object, allowed: Sequence[str] | Mapping[str, _Field]) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{where} is {found!r}: expected the keys {', '.join(allowed)}")
    for key in found:
        if key not in allowed:
            raise ValueError(f"{where}: unknown key {key!r}: allowed are {', '.join(allowed)}")
    for key in allowed:
        if key not in found:
            raise ValueError(f"{where}: the key {key!r} is missing")


def _check_field(where: str, value: object, field: _Field) -> None:
    fits, allowed = field
    if not fits(value):
        raise ValueError(f"{where} is {value!r}: expected {allowed}")


def compare(headline: pd.DataFrame, expected: Expected, experiment: str) -> pd.DataFrame:
    """Each median of Pearson's r beside the committed one.

    Returns:
        One row a number: network, network_steps, machine, expected, found, tolerance, moved
        (found - expected), ok, note. ok is true only where the number is within its tolerance: a
        row that is missing on either side is not ok, and where an experiment has no committed
        numbers none is, with the note "nothing committed for experiment ...".
    """
    if headline.empty:
        raise ValueError("the headline has no rows: there is nothing to compare")
    committed = expected.committed.get(experiment, pd.DataFrame(columns=list(_COMMITTED_FIELDS)))
    table = committed.rename(columns={"pearson_r": "expected"}).merge(
        headline[[*_RUN, "pearson_r"]].rename(columns={"pearson_r": "found"}),
        how="outer",
        on=_RUN,
        validate="one_to_one",
    )
    for column in ("expected", "tolerance"):
        table[column] = table[column].astype(float)
    # Rounded, so that a number which moved by exactly its tolerance is within it.
    table["moved"] = (table["found"] - table["expected"]).round(9)
    table["ok"] = table["moved"].abs() <= table["tolerance"]
    table["note"] = [_note(row, experiment, committed.empty) for row in table.itertuples()]
    table = table.sort_values(_RUN, ignore_index=True)
    return table[[*_RUN, "expected", "found", "tolerance", "moved", "ok", "note"]]


def _note(row: object, experiment: str, nothing_committed: bool) -> str:
    if nothing_committed:
        return f"nothing committed for experiment {experiment}"
    if math.isnan(row.expected):
        return "found, but not committed"
    if math.isnan(row.found):
        return "committed, but not found"
    return "" if row.ok else "moved beyond its tolerance"
