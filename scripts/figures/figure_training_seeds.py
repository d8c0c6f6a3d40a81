"""Draw the agreement of trainings of a network from several seeds."""

import pandas as pd

from patchmosaic.figures.style import save_figure
from patchmosaic.figures.training_seeds import training_seeds
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = training_seeds(
            pd.read_csv(snakemake.input.agreement),
            pd.read_csv(snakemake.input.spread),
            snakemake.params.repeats,
            snakemake.params.training_seeds,
        )
        for path in snakemake.output:
            save_figure(figure, path)
