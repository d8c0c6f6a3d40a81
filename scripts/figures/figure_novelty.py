"""Draw how far samples and held-out images are from the training images."""

import pandas as pd

from patchmosaic.figures.novelty import novelty
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = novelty(pd.concat([pd.read_csv(path) for path in snakemake.input]))
        for path in snakemake.output:
            save_figure(figure, path)
