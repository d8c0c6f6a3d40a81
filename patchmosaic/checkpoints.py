"""Trained networks on disk: safetensors weights, each with a record (patchmosaic.records)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from patchmosaic.files import written_whole
from patchmosaic.networks import NetworkConfig, build_network
from patchmosaic.records import (
    RECORD_DIGEST,
    CheckpointError,
    load_record,
    read_scales,
    record_path,
    save_record,
    save_scales_record,
    verify_checkpoint,
    verify_scales,
)

__all__ = [
    "RECORD_DIGEST",
    "CheckpointError",
    "load_checkpoint",
    "load_record",
    "read_scales",
    "record_path",
    "save_checkpoint",
    "save_record",
    "save_scales_record",
    "verify_checkpoint",
    "verify_scales",
]


def save_checkpoint(path: Path, weights: dict[str, Tensor], record: dict) -> None:
    """Write weights and record; the record names the SHA-256 of the weights and comes last."""
    content = safetensors.torch.save(weights)
    record = {**record, "weights_sha256": hashlib.sha256(content).hexdigest()}
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
    save_record(record_path(path), record)


def load_checkpoint(path: Path) -> tuple[nn.Module, dict]:
    """The network of a verified checkpoint, in evaluation mode, and its record."""
    record = verify_checkpoint(path)
    try:
        network = build_network(NetworkConfig(**record["network"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{record_path(path)}: it describes no network: {error}") from None
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the weights do not fit their record: {error}") from None
    return network.eval(), record
