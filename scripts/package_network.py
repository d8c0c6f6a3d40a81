"""Package a network of a finished run, its record and its locality scales into checkpoints/.

python scripts/package_network.py results/trained mnist-resnet-zeros
"""

import argparse
import shutil
import sys
from pathlib import Path

from patchmosaic.files import written_whole
from patchmosaic.records import (
    CheckpointError,
    load_record,
    record_path,
    save_record,
    snapshots_path,
    verify_checkpoint,
    verify_scales,
    verify_snapshots,
)

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"


def package(results: Path, network: str, checkpoints: Path, snapshots: bool) -> list[Path]:
    """Copy the network, verified, and its scales if the run calibrated it; the copies.

    Packaged scales and snapshots that are not replaced are removed: they would be of other weights.
    """
    weights = results / f"networks/{network}.safetensors"
    scales = results / f"calibration/{network}.scales.json"
    record = verify_checkpoint(weights)
    if "own" in record:
        raise CheckpointError(
            f"{weights}: an own network is not packaged; a config that names its files has it"
        )
    files = [weights]
    if snapshots:
        files.append(verify_snapshots(weights, record))
    if scales.exists():
        files += [*verify_scales(scales, record["weights_sha256"]), scales]
    files.append(record_path(weights))
    for kind in ("scales.json", "scales.csv", "cosines.csv"):
        (checkpoints / f"{network}.{kind}").unlink(missing_ok=True)
    copies = [checkpoints / file.name for file in files]
    if snapshots:
        snapshots_path(copies[0]).parent.mkdir(exist_ok=True)
        copies[1] = snapshots_path(copies[0])
    else:
        snapshots_path(copies[0]).unlink(missing_ok=True)
    for file, copy in zip(files, copies, strict=True):
        if file.suffix == ".json":
            save_record(copy, load_record(file))
        else:
            with written_whole(copy) as temporary:
                shutil.copyfile(file, temporary)
    return copies


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="the directories.results of the run")
    parser.add_argument("network", help="name of the network in the run's config")
    parser.add_argument(
        "--snapshots", action="store_true", help="also the weights during the training"
    )
    arguments = parser.parse_args()
    try:
        copies = package(arguments.results, arguments.network, CHECKPOINTS, arguments.snapshots)
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    print(*copies, sep="\n")
    if not any(copy.name.endswith(".scales.json") for copy in copies):
        print(f"The run did not calibrate {arguments.network}: it is packaged without scales.")
