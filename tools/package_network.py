"""Package a network of a finished run, its record and its locality scales into checkpoints/.

python tools/package_network.py results/trained mnist-resnet-zeros

A wide network is packaged twice: with --float16, then, when a run with `checkpoint: packaged` and
`calibration.source: computed` has calibrated the rounded weights, from the results of that run.
"""

import argparse
import hashlib
import shutil
import sys
from pathlib import Path

import numpy as np
import safetensors.numpy

from patchmosaic.networks.records import snapshots_path, verify_checkpoint, verify_snapshots
from patchmosaic.sampling.scales import verify_scales
from patchmosaic.system.files import written_whole
from patchmosaic.system.records import RecordError, load_record, record_path, save_record

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"


def package(
    results: Path, network: str, checkpoints: Path, snapshots: bool, float16: bool = False
) -> list[Path]:
    """Copy the network, verified, and its scales if the run calibrated it; the copies.

    With ``float16`` the weights are rounded to it, which halves the file, and the record says so;
    neither scales nor snapshots come along then, for they are of the weights as they were. Packaged
    scales and snapshots that are not replaced are removed: they would be of other weights.
    """
    weights = results / f"networks/{network}.safetensors"
    scales = results / f"calibration/{network}.scales.json"
    record = verify_checkpoint(weights)
    if "external" in record:
        raise RecordError(
            f"{weights}: an external network is not packaged; a config that names its files has it"
        )
    files = [weights]
    if snapshots:
        files.append(verify_snapshots(weights, record))
    if scales.exists() and not float16:
        files += [*verify_scales(scales, record["weights_sha256"]), scales]
    files.append(record_path(weights))
    content = rounded(weights, record) if float16 else None
    for kind in ("scales.json", "scales.csv", "cosines.csv"):
        (checkpoints / f"{network}.{kind}").unlink(missing_ok=True)
    copies = [checkpoints / file.name for file in files]
    if snapshots:
        snapshots_path(copies[0]).parent.mkdir(exist_ok=True)
        copies[1] = snapshots_path(copies[0])
    else:
        snapshots_path(copies[0]).unlink(missing_ok=True)
    if content is not None:
        with written_whole(copies[0]) as temporary:
            temporary.write_bytes(content)
        before = {"to": "float16", "weights_sha256": record["weights_sha256"]}
        digest = hashlib.sha256(content).hexdigest()
        save_record(copies[-1], record | {"weights_sha256": digest, "rounded": before})
        return copies
    for file, copy in zip(files, copies, strict=True):
        if file.suffix == ".json":
            save_record(copy, load_record(file))
        else:
            with written_whole(copy) as temporary:
                shutil.copyfile(file, temporary)
    return copies


def rounded(weights: Path, record: dict) -> bytes:
    """The file of these weights, rounded to float16."""
    if "rounded" in record:
        raise RecordError(f"{weights}: these weights are rounded already: leave out --float16")
    with np.errstate(over="ignore"):
        tensors = {
            name: tensor.astype(np.float16)
            for name, tensor in safetensors.numpy.load_file(weights).items()
        }
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise RecordError(f"{weights}: it has weights beyond the range of float16")
    return safetensors.numpy.save(tensors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the directories.results of the run")
    parser.add_argument("network", help="name of the network in the run's config")
    parser.add_argument(
        "--snapshots", action="store_true", help="also the weights during the training"
    )
    parser.add_argument(
        "--float16",
        action="store_true",
        help="round the weights, for a file half as large; scales are calibrated after that",
    )
    arguments = parser.parse_args()
    if arguments.snapshots and arguments.float16:
        parser.error("--snapshots and --float16: snapshots are of the weights as they were")
    try:
        copies = package(
            arguments.results,
            arguments.network,
            CHECKPOINTS,
            arguments.snapshots,
            arguments.float16,
        )
    except RecordError as error:
        sys.exit(f"error: {error}")
    print(*copies, sep="\n")
    if not any(copy.name.endswith(".scales.json") for copy in copies):
        why = "Its weights were rounded" if arguments.float16 else "The run did not calibrate it"
        print(f"{why}: {arguments.network} is packaged without scales.")
