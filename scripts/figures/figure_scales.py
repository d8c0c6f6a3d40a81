"""Draw the locality scale of every network over time."""

import pandas as pd

from patchmosaic.figures.scales import scales
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = scales(pd.read_csv(snakemake.input[0]))
        for path in snakemake.output:
            save_figure(figure, path)
