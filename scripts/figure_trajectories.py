"""Draw the agreement of machines and networks over time."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import agreement_along_trajectories, save_figure

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = agreement_along_trajectories(pd.read_csv(snakemake.input[0]))
        for path in snakemake.output:
            save_figure(figure, path)
