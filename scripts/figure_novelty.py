"""Draw how far samples and held-out images are from the training images."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import novelty, save_figure

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = novelty(pd.concat([pd.read_csv(path) for path in snakemake.input]))
        for path in snakemake.output:
            save_figure(figure, path)
