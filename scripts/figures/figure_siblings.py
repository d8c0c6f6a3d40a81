"""Draw how networks agree with each other, beside their agreement with ELS."""

import pandas as pd

from patchmosaic.figures.siblings import siblings
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = siblings(pd.read_csv(snakemake.input[0]))
        for path in snakemake.output:
            save_figure(figure, path)
