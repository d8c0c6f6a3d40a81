"""Draw how locally consistent predicted images are over time."""

import pandas as pd

from patchmosaic.figures.consistency import consistency_along_trajectories
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        table = pd.concat([pd.read_csv(path) for path in snakemake.input])
        figure = consistency_along_trajectories(table)
        for path in snakemake.output:
            save_figure(figure, path)
