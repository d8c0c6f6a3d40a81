"""Trained networks on disk: safetensors weights, each with a record (patchmosaic.records)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from patchmosaic.networks import NetworkConfig, build_network
from patchmosaic.own import load_own
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
    temporary = path.with_suffix(".partial")
    content = safetensors.torch.save(weights)
    temporary.write_bytes(content)
    record = {**record, "weights_sha256": hashlib.sha256(content).hexdigest()}
    os.replace(temporary, path)
    save_record(record_path(path), record)


def load_checkpoint(path: Path, module: Path | None = None) -> tuple[nn.Module, dict]:
    """The network of a verified checkpoint, in evaluation mode, and its record.

    Args:
        path: of the weights.
        module: an own network's Python file, as the config names it. It is run where its digest is
            the record's; a file that only lies beside the weights never is.
    """
    record = verify_checkpoint(path)
    if "own" in record:
        return _load_own_checkpoint(path, record, module), record
    try:
        network = build_network(NetworkConfig(**record["network"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{record_path(path)}: it describes no network: {error}") from None
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the weights do not fit their record: {error}") from None
    return network.eval(), record


def _load_own_checkpoint(path: Path, record: dict, module: Path | None) -> nn.Module:
    if module is None:
        raise CheckpointError(
            f"{path}: this is an own network, whose Python file is only run where a config names "
            "it: networks.<name>.module"
        )
    try:
        predicts, digest = (str(record["own"][key]) for key in ("predicts", "module_sha256"))
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{record_path(path)}: it describes no network: {error}") from None
    return load_own(module, path, predicts, digest)
