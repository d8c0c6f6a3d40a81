"""Locality scales P(t): tables of them, their records, and the P at a time."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from patchmosaic.system.files import sha256_of
from patchmosaic.system.records import (
    RecordError,
    load_record,
    record_path,
    save_record,
    verify_digest,
)

if TYPE_CHECKING:
    import pandas as pd


def scale_at(scales: dict[float, int], t: float) -> int:
    """The locality scale of the calibrated time nearest to ``t``, which must be close to it."""
    if t in scales:
        return scales[t]
    nearest = min(scales, key=lambda time: abs(time - t))
    if abs(nearest - t) > 1e-6:
        raise ValueError(f"the scales have no entry for t = {t:g}; the nearest is {nearest:g}")
    return scales[nearest]


def shifted_scales(scales: dict[float, int], steps: int) -> dict[float, int]:
    """Scales moved along the times: each time gets the P of the one ``steps`` later.

    At the ends the last and the first P are repeated.
    """
    times, last = sorted(scales), len(scales) - 1
    return {t: scales[times[min(max(i + steps, 0), last)]] for i, t in enumerate(times)}


def best_sizes(cosines: pd.DataFrame) -> pd.DataFrame:
    """Of a row a t, trajectory and patch_size those with the highest cosine at each t."""
    return cosines.loc[cosines.groupby(["t", "trajectory"])["cosine"].idxmax()]


def save_scales_record(path: Path, tables: list[Path], record: dict) -> None:
    """Write the record of a calibration, with the SHA-256 of each of its tables.

    Args:
        path: of the record, in the folder of the tables.
        tables: the files that the calibration left.
        record: how they were made, with the ``weights_sha256`` of the network they are for.
    """
    save_record(path, {**record, "tables": {table.name: sha256_of(table) for table in tables}})


def read_scales(path: Path) -> dict[float, int]:
    """The locality scales at ``path``: P in pixels at each time, in the order of the table.

    Raises RecordError unless the table is what the record beside it says, and is one of scales.
    """
    _verify_table(path, load_record(path))
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        scales = {float(row["t"]): int(row["patch_size"]) for row in rows}
    except (KeyError, TypeError, ValueError, csv.Error):
        raise RecordError(
            f"{path}: no table of scales: expected columns t and patch_size, a number in each row"
        ) from None
    if not rows or len(scales) < len(rows):
        raise RecordError(f"{path}: no table of scales: expected rows of different times t")
    return scales


def verify_scales(path: Path, weights_sha256: str) -> list[Path]:
    """The tables of the calibration whose record is at ``path``.

    Raises RecordError unless they are what the record says, and for the network with these
    weights.
    """
    record = load_record(path)
    calibrated_for = record.get("weights_sha256")
    if calibrated_for != weights_sha256:
        raise RecordError(
            f"{path}: these scales are for weights with SHA-256 {calibrated_for}, not for "
            f"{weights_sha256}"
        )
    tables = []
    for name in _tables(record):
        if name != Path(name).name:
            raise RecordError(f"{path}: {name!r} is no name of a table beside it")
        tables.append(path.with_name(name))
        _verify_table(tables[-1], record)
    return tables


def _tables(record: dict) -> dict:
    tables = record.get("tables")
    return tables if isinstance(tables, dict) else {}


def _verify_table(table: Path, record: dict) -> None:
    expected = _tables(record).get(table.name)
    if expected is None:
        raise RecordError(f"{table}: {record_path(table)} does not tell of this table")
    if not table.exists():
        raise RecordError(f"{table}: this table of {record_path(table).name} is missing")
    verify_digest(table, expected)
