"""Crop and resize a dataset's training or test images."""

import sys
from pathlib import Path

from patchmosaic.datasets.images import save_images
from patchmosaic.datasets.preparation import prepare
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        images = prepare(
            snakemake.params.source,
            Path(snakemake.input[0]).parent,
            size=int(snakemake.wildcards.size),
            channels=snakemake.params.channels,
            split=snakemake.params.split,
            background=snakemake.params.background,
            half=snakemake.params.half,
            altered=snakemake.params.altered,
            say=lambda line: print(line, file=sys.stderr),
        )
        save_images(snakemake.output[0], images)
