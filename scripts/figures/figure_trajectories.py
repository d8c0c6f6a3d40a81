"""Draw the agreement of machines and networks over time."""

import pandas as pd

from patchmosaic.figures.style import save_figure
from patchmosaic.figures.trajectories import agreement_along_trajectories
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = agreement_along_trajectories(pd.read_csv(snakemake.input[0]))
        for path in snakemake.output:
            save_figure(figure, path)
