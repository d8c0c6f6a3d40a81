"""Records of networks: verified weights, and snapshots of their training."""

from __future__ import annotations

from pathlib import Path

from patchmosaic.system.records import RecordError, load_record, record_path, verify_digest


def snapshots_path(weights_path: Path) -> Path:
    """Where the snapshots of a training lie: the same name, in a folder beside its weights."""
    return weights_path.parent / "snapshots" / weights_path.name


def verify_checkpoint(path: Path) -> dict:
    """The record of a checkpoint whose weights are what it says; raises RecordError if not."""
    record = load_record(path)
    if not path.exists():
        raise RecordError(f"{path}: the weights of this record are missing")
    verify_digest(path, record.get("weights_sha256"))
    return record


def verify_snapshots(path: Path, record: dict) -> Path:
    """The snapshots of the checkpoint at ``path``; raises RecordError unless they are there and
    what its record says.
    """
    expected, snapshots = record.get("snapshots_sha256"), snapshots_path(path)
    if expected is None:
        raise RecordError(f"{record_path(path)}: it tells of no snapshots of the training")
    if not snapshots.exists():
        raise RecordError(f"{snapshots}: the snapshots of this training are missing")
    verify_digest(snapshots, expected)
    return snapshots
