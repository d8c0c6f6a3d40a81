"""Verify the snapshots of a packaged network's training and copy them to the results."""

import shutil
from pathlib import Path

from patchmosaic.networks.records import verify_checkpoint, verify_snapshots
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        path = Path(snakemake.input.weights)
        shutil.copyfile(verify_snapshots(path, verify_checkpoint(path)), snakemake.output[0])
