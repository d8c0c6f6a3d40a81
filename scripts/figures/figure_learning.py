"""Draw the agreement of machines and networks during the training."""

import pandas as pd

from patchmosaic.figures.learning import learning_curves
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = learning_curves(pd.concat([pd.read_csv(path) for path in snakemake.input]))
        for path in snakemake.output:
            save_figure(figure, path)
