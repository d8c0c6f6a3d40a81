"""Records: JSON files that hold their own digest, and those of the files that they tell of."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path

from patchmosaic.system.files import sha256_of, written_whole

RECORD_DIGEST = "record_sha256"


class RecordError(ValueError):
    """A record, or a file of weights, scales or code, that is missing, altered or unfit."""


def record_path(weights_path: Path) -> Path:
    """Where the record of a weights file lies: the same name, ending in .json."""
    return weights_path.with_suffix(".json")


def load_record(path: Path) -> dict:
    """The record beside a file of weights or scales, without reading that.

    Raises RecordError unless it is whole and is what its own digest says; a record of the time
    before records had one is taken as it is.
    """
    path = record_path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: no readable record: {error}") from None
    if not isinstance(record, dict):
        raise RecordError(f"{path}: no readable record: expected a JSON object")
    if RECORD_DIGEST in record:
        expected = record.pop(RECORD_DIGEST)
        if _record_digest(record) != expected:
            raise RecordError(
                f"{path}: expected SHA-256 {expected} of the record, found {_record_digest(record)}"
            )
    elif damaged := difflib.get_close_matches(RECORD_DIGEST, record, n=1, cutoff=0.9):
        raise RecordError(f"{path}: damaged: the key {RECORD_DIGEST} reads {damaged[0]!r}")
    return record


def verify_digest(path: Path, expected: str | None) -> None:
    found = sha256_of(path)
    if found != expected:
        raise RecordError(f"{path}: expected SHA-256 {expected}, found {found}")


def save_record(path: Path, record: dict) -> None:
    """Write a record with its own digest, whole or not at all."""
    record = {**record, RECORD_DIGEST: _record_digest(record)}
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")


def _record_digest(record: dict) -> str:
    """SHA-256 of the record as sorted JSON, whatever stands between its keys and values."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
