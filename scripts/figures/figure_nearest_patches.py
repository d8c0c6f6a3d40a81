"""Draw how far the patches of samples are from training patches, and whole samples from images."""

import pandas as pd

from patchmosaic.figures.nearest_patches import nearest_patches
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given = snakemake.input
        patches, images = (
            pd.concat([pd.read_csv(path) for path in paths])
            for paths in (given.patches, given.images)
        )
        figure = nearest_patches(patches, images)
        for path in snakemake.output:
            save_figure(figure, path)
