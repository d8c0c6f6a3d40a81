"""Trained networks on disk: safetensors weights, each with a record beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from patchmosaic.networks.build import build_network
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.diffusers import build_diffusers
from patchmosaic.networks.edm import build_edm
from patchmosaic.networks.external import ExternalNetwork, Running, load_external
from patchmosaic.networks.records import snapshots_path, verify_checkpoint, verify_snapshots
from patchmosaic.system.files import written_whole
from patchmosaic.system.records import RecordError, record_path, save_record


def save_checkpoint(
    path: Path,
    weights: dict[str, Tensor],
    record: dict,
    snapshots: dict[str, dict[str, Tensor]] | None = None,
) -> None:
    """Write weights, snapshots and record; the record names the SHA-256 of both and comes last.

    Args:
        path: of the weights; snapshots go into the file :func:`snapshots_path` beside it.
        weights: the averaged weights.
        record: of the training.
        snapshots: other weights of the same training, by name (see :func:`training.train`).
    """
    record = {**record, "weights_sha256": _write(path, weights)}
    if snapshots:
        snapshots_path(path).parent.mkdir(exist_ok=True)
        joined = {f"{name}/{k}": v for name, each in snapshots.items() for k, v in each.items()}
        record["snapshots_sha256"] = _write(snapshots_path(path), joined)
        record["snapshots"] = list(snapshots)
    save_record(record_path(path), record)


def _write(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write tensors, whole or not at all; the SHA-256 of the file."""
    content = safetensors.torch.save(tensors)
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def load_checkpoint(
    path: Path, module: Path | None = None, *, snapshot: str = ""
) -> tuple[nn.Module, dict]:
    """The network of a verified checkpoint, in evaluation mode, and its record.

    Args:
        path: of the weights.
        module: an external network's Python file, as the config names it. It is run where its
            digest is the record's; a file that only lies beside the weights never is.
        snapshot: by default the averaged weights; "untrained" for those that the training began
            with, or the name of a snapshot in the record: "raw" for the last weights as they are, a
            number of images seen for the averaged weights at that time.
    """
    record = verify_checkpoint(path)
    if "external" in record:
        if snapshot:
            raise RecordError(f"{record_path(path)}: an external network has no snapshots")
        return _load_external(path, record, module), record
    try:
        config = NetworkConfig(**record["network"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{record_path(path)}: it describes no network: {error}") from None
    if snapshot == "untrained":
        torch.manual_seed(record["training"]["seed"])
        return build_network(config).eval(), record
    network = build_network(config)
    try:
        network.load_state_dict(_weights(path, record, snapshot))
    except (SafetensorError, RuntimeError) as error:
        raise RecordError(f"{path}: the weights do not fit their record: {error}") from None
    return network.eval(), record


def _weights(path: Path, record: dict, snapshot: str) -> dict[str, Tensor]:
    """The averaged weights of a verified checkpoint, or those of a snapshot."""
    if not snapshot:
        return safetensors.torch.load_file(path)
    verify_snapshots(path, record)
    if snapshot not in record["snapshots"]:
        there = ", ".join(record["snapshots"])
        raise RecordError(f"{snapshots_path(path)}: no snapshot {snapshot!r}; it has {there}")
    prefix = f"{snapshot}/"
    with safetensors.safe_open(snapshots_path(path), framework="pt") as file:
        keys = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118
        return {key.removeprefix(prefix): file.get_tensor(key) for key in keys}


def _load_external(path: Path, record: dict, module: Path | None) -> ExternalNetwork:
    described = record["external"]
    try:
        running = Running(**described.get("running", {}))
        if "unet" in described:
            return build_diffusers(
                record_path(path), described["unet"], described["scheduler"], path, running
            )
        if "edm" in described:
            return build_edm(record_path(path), described["edm"], path, running)
        predicts, digest = (str(described[key]) for key in ("predicts", "module_sha256"))
        direction = described.get("direction")
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{record_path(path)}: it describes no network: {error}") from None
    if module is None:
        raise RecordError(
            f"{path}: this is an external network, whose Python file is only run where a config "
            "names it: networks.<name>.module"
        )
    return load_external(module, path, predicts, digest, direction, running)
