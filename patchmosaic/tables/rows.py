"""Rows of numbers in a YAML file of numbers/, each key and value checked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

# The test of a value, and what is allowed.
Field = tuple[Callable[[object], bool], str]


def integer(low: int) -> Field:
    """An integer from ``low``."""
    return lambda v: type(v) is int and v >= low, f"an integer from {low}"


def number(low: float, high: float, *, above: bool = False) -> Field:
    """A number from ``low`` to ``high``; ``above``: ``low`` itself is not allowed."""

    def fits(value: object) -> bool:
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return low <= value <= high and not (above and value == low)

    return fits, f"a number {'above' if above else 'from'} {low} {'up ' if above else ''}to {high}"


def choice(*allowed: str) -> Field:
    """One of some words."""
    return lambda v: v in allowed, f"one of {', '.join(allowed)}"


BOOLEAN: Field = (lambda v: isinstance(v, bool), "true or false")
TEXT: Field = (lambda v: isinstance(v, str) and bool(v.strip()), "text")


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


@contextmanager
def content_of(path: str | Path) -> Generator[Any]:
    """What a YAML file says; a ValueError of reading it, or of the body, names the file."""
    try:
        yield yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def checked_rows(
    where: str, rows: object, fields: Mapping[str, Field], unique: list[str]
) -> pd.DataFrame:
    """A table of rows that have just these fields, no two of them the same ``unique`` ones."""
    if not isinstance(rows, list):
        raise ValueError(f"{where} is {rows!r}: expected a list of rows")
    for i, row in enumerate(rows):
        check_fields(f"{where}[{i}]", row, fields)
    table = pd.DataFrame(rows, columns=list(fields))
    repeated = table.index[table.duplicated(unique)]
    if len(repeated):
        raise ValueError(f"{where}[{repeated[0]}] repeats the {', '.join(unique)} of another row")
    return table


def check_fields(where: str, found: object, fields: Mapping[str, Field]) -> None:
    """Raise a ValueError, with key and value, unless ``found`` has just these fields."""
    if not isinstance(found, dict):
        raise ValueError(f"{where} is {found!r}: expected the keys {', '.join(fields)}")
    for key in found:
        if key not in fields:
            raise ValueError(f"{where}: unknown key {key!r}: allowed are {', '.join(fields)}")
    for key, (fits, allowed) in fields.items():
        if key not in found:
            raise ValueError(f"{where}: the key {key!r} is missing")
        if not fits(found[key]):
            raise ValueError(f"{where}: {key} is {found[key]!r}: expected {allowed}")
