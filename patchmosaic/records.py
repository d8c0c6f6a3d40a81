"""Records of weights and scales: what was done, and digests by which a file is known again.

The record of the weights tells of the training, that of the scales of the calibration; both hold
the SHA-256 of the weights, so that scales cannot be used with a network they were not chosen for,
and one of the record itself. None of this needs torch.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import json
from pathlib import Path

from patchmosaic.files import written_whole

RECORD_DIGEST = "record_sha256"


class CheckpointError(ValueError):
    """A checkpoint that is missing, altered, or not of the network that was asked for."""


def record_path(weights_path: Path) -> Path:
    """Where the record of a weights file lies: the same name, ending in .json."""
    return weights_path.with_suffix(".json")


def snapshots_path(weights_path: Path) -> Path:
    """Where the snapshots of a training lie: the same name, in a folder beside its weights."""
    return weights_path.parent / "snapshots" / weights_path.name


def load_record(path: Path) -> dict:
    """The record beside a file of weights or scales, without reading that.

    Raises CheckpointError unless it is whole and is what its own digest says; a record of the time
    before records had one is taken as it is.
    """
    path = record_path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: no readable record: {error}") from None
    if not isinstance(record, dict):
        raise CheckpointError(f"{path}: no readable record: expected a JSON object")
    if RECORD_DIGEST in record:
        expected = record.pop(RECORD_DIGEST)
        if _record_digest(record) != expected:
            raise CheckpointError(
                f"{path}: expected SHA-256 {expected} of the record, found {_record_digest(record)}"
            )
    elif damaged := difflib.get_close_matches(RECORD_DIGEST, record, n=1, cutoff=0.9):
        raise CheckpointError(f"{path}: damaged: the key {RECORD_DIGEST} reads {damaged[0]!r}")
    return record


def verify_checkpoint(path: Path) -> dict:
    """The record of a checkpoint whose weights are what it says; raises CheckpointError if not."""
    record = load_record(path)
    if not path.exists():
        raise CheckpointError(f"{path}: the weights of this record are missing")
    _verify_digest(path, record.get("weights_sha256"))
    return record


def verify_snapshots(path: Path, record: dict) -> Path:
    """The snapshots of the checkpoint at ``path``; raises CheckpointError unless they are there and
    what its record says.
    """
    expected, snapshots = record.get("snapshots_sha256"), snapshots_path(path)
    if expected is None:
        raise CheckpointError(f"{record_path(path)}: it tells of no snapshots of the training")
    if not snapshots.exists():
        raise CheckpointError(f"{snapshots}: the snapshots of this training are missing")
    _verify_digest(snapshots, expected)
    return snapshots


def save_scales_record(path: Path, tables: list[Path], record: dict) -> None:
    """Write the record of a calibration, with the SHA-256 of each of its tables.

    Args:
        path: of the record, in the folder of the tables.
        tables: the files that the calibration left.
        record: how they were made, with the ``weights_sha256`` of the network they are for.
    """
    save_record(path, {**record, "tables": {table.name: _sha256(table) for table in tables}})


def read_scales(path: Path) -> dict[float, int]:
    """The locality scales at ``path``: P in pixels at each time, in the order of the table.

    Raises CheckpointError unless the table is what the record beside it says, and is one of scales.
    """
    _verify_table(path, load_record(path))
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        scales = {float(row["t"]): int(row["patch_size"]) for row in rows}
    except (KeyError, TypeError, ValueError, csv.Error):
        raise CheckpointError(
            f"{path}: no table of scales: expected columns t and patch_size, a number in each row"
        ) from None
    if not rows or len(scales) < len(rows):
        raise CheckpointError(f"{path}: no table of scales: expected rows of different times t")
    return scales


def verify_scales(path: Path, weights_sha256: str) -> list[Path]:
    """The tables of the calibration whose record is at ``path``.

    Raises CheckpointError unless they are what the record says, and for the network with these
    weights.
    """
    record = load_record(path)
    calibrated_for = record.get("weights_sha256")
    if calibrated_for != weights_sha256:
        raise CheckpointError(
            f"{path}: these scales are for weights with SHA-256 {calibrated_for}, not for "
            f"{weights_sha256}"
        )
    tables = []
    for name in _tables(record):
        if name != Path(name).name:
            raise CheckpointError(f"{path}: {name!r} is no name of a table beside it")
        tables.append(path.with_name(name))
        _verify_table(tables[-1], record)
    return tables


def _tables(record: dict) -> dict:
    tables = record.get("tables")
    return tables if isinstance(tables, dict) else {}


def _verify_table(table: Path, record: dict) -> None:
    expected = _tables(record).get(table.name)
    if expected is None:
        raise CheckpointError(f"{table}: {record_path(table)} does not tell of this table")
    if not table.exists():
        raise CheckpointError(f"{table}: this table of {record_path(table).name} is missing")
    _verify_digest(table, expected)


def _verify_digest(path: Path, expected: str | None) -> None:
    found = _sha256(path)
    if found != expected:
        raise CheckpointError(f"{path}: expected SHA-256 {expected}, found {found}")


def save_record(path: Path, record: dict) -> None:
    """Write a record with its own digest, whole or not at all."""
    record = {**record, RECORD_DIGEST: _record_digest(record)}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def _record_digest(record: dict) -> str:
    """SHA-256 of the record as sorted JSON, whatever stands between its keys and values."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
