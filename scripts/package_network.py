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
    verify_checkpoint,
    verify_scales,
)

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"


def package(results: Path, network: str, checkpoints: Path) -> list[Path]:
    """Copy the network, verified, and its scales if the run calibrated it; the copies.

    Packaged scales that are not replaced are removed: they would be for other weights.
    """
    weights = results / f"networks/{network}.safetensors"
    scales = results / f"calibration/{network}.scales.json"
    digest = verify_checkpoint(weights)["weights_sha256"]
    files = [weights, record_path(weights)]
    if scales.exists():
        files += [*verify_scales(scales, digest), scales]
    for kind in ("scales.json", "scales.csv", "cosines.csv"):
        (checkpoints / f"{network}.{kind}").unlink(missing_ok=True)
    copies = [checkpoints / file.name for file in files]
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
    arguments = parser.parse_args()
    try:
        copies = package(arguments.results, arguments.network, CHECKPOINTS)
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    print(*copies, sep="\n")
    if len(copies) == 2:
        print(f"The run did not calibrate {arguments.network}: it is packaged without scales.")
