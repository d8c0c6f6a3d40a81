"""Draw the agreement of machines and networks during the training."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import learning_curves, save_figure

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = learning_curves(pd.concat([pd.read_csv(path) for path in snakemake.input]))
        for path in snakemake.output:
            save_figure(figure, path)
