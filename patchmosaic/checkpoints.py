"""Trained networks on disk, each with a record: safetensors weights, and the locality scales.

The record of the weights tells of the training, that of the scales of the calibration; both hold
the SHA-256 of the weights, so that scales cannot be used with a network they were not chosen for.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from patchmosaic.networks import NetworkConfig, build_network


class CheckpointError(ValueError):
    """A checkpoint that is missing, altered, or not of the network that was asked for."""


def record_path(weights_path: Path) -> Path:
    """Where the record of a weights file lies: the same name, ending in .json."""
    return weights_path.with_suffix(".json")


def save_checkpoint(path: Path, weights: dict[str, Tensor], record: dict) -> None:
    """Write weights and record; the record names the SHA-256 of the weights and comes last."""
    temporary = path.with_suffix(".partial")
    temporary.write_bytes(safetensors.torch.save(weights))
    record = {**record, "weights_sha256": _sha256(temporary)}
    os.replace(temporary, path)
    _save_record(record_path(path), record)


def load_record(path: Path) -> dict:
    """The record beside a file of weights or scales, without reading that."""
    try:
        return json.loads(record_path(path).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{record_path(path)}: no readable record: {error}") from None


def verify_checkpoint(path: Path) -> dict:
    """The record of a checkpoint whose weights are what it says; raises CheckpointError if not."""
    record = load_record(path)
    if not path.exists():
        raise CheckpointError(f"{path}: the weights of this record are missing")
    expected, found = record.get("weights_sha256"), _sha256(path)
    if found != expected:
        raise CheckpointError(f"{path}: expected SHA-256 {expected}, found {found}")
    return record


def load_checkpoint(path: Path) -> tuple[nn.Module, dict]:
    """The network of a verified checkpoint, in evaluation mode, and its record."""
    record = verify_checkpoint(path)
    network = build_network(NetworkConfig(**record["network"]))
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the weights do not fit their record: {error}") from None
    return network.eval(), record


def save_scales_record(path: Path, tables: list[Path], record: dict) -> None:
    """Write the record of a calibration, with the SHA-256 of each of its tables.

    Args:
        path: of the record, in the folder of the tables.
        tables: the files that the calibration left.
        record: how they were made, with the ``weights_sha256`` of the network they are for.
    """
    _save_record(path, {**record, "tables": {table.name: _sha256(table) for table in tables}})


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
    tables = [path.with_name(name) for name in record["tables"]]
    for table in tables:
        if not table.exists():
            raise CheckpointError(f"{table}: this table of {path.name} is missing")
        expected, found = record["tables"][table.name], _sha256(table)
        if found != expected:
            raise CheckpointError(f"{table}: expected SHA-256 {expected}, found {found}")
    return tables


def _save_record(path: Path, record: dict) -> None:
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(temporary, path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
