"""Verify a packaged network and copy it to the results."""

import shutil
from pathlib import Path

from patchmosaic.checkpoints import verify_checkpoint
from patchmosaic.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        verify_checkpoint(Path(snakemake.input.weights))
        shutil.copyfile(snakemake.input.weights, snakemake.output.weights)
        shutil.copyfile(snakemake.input.record, snakemake.output.record)
