"""Verify a packaged network and copy it to the results."""

import shutil
from pathlib import Path

from patchmosaic.console import logged
from patchmosaic.datasets import load_images
from patchmosaic.records import CheckpointError, verify_checkpoint

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        path, digest = Path(snakemake.input.weights), load_images(snakemake.input.images).digest
        trained_on = verify_checkpoint(path)["dataset_digest"]
        if trained_on != digest:
            raise CheckpointError(
                f"{path} was trained on images with SHA-256 {trained_on}; "
                f"{snakemake.input.images} has {digest}"
            )
        shutil.copyfile(snakemake.input.weights, snakemake.output.weights)
        shutil.copyfile(snakemake.input.record, snakemake.output.record)
