"""Trained networks on disk: safetensors weights and, beside them, the record of the training."""

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
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(temporary, record_path(path))


def load_record(path: Path) -> dict:
    """The record beside a weights file, without reading the weights."""
    try:
        return json.loads(record_path(path).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{record_path(path)}: no readable training record: {error}"
        ) from None


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
