"""Verify a packaged network and copy it to the results."""

import shutil
from pathlib import Path

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.records import verify_checkpoint
from patchmosaic.system.console import logged
from patchmosaic.system.records import RecordError

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        path, digest = Path(snakemake.input.weights), load_images(snakemake.input.images).digest
        trained_on = verify_checkpoint(path)["dataset_digest"]
        if trained_on != digest:
            raise RecordError(
                f"{path} was trained on images with SHA-256 {trained_on}; "
                f"{snakemake.input.images} has {digest}"
            )
        shutil.copyfile(snakemake.input.weights, snakemake.output.weights)
        shutil.copyfile(snakemake.input.record, snakemake.output.record)
