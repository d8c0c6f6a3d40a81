"""Draw the agreement of IS against that of the other machines."""

import pandas as pd

from patchmosaic.figures.scatter import scatter_is_vs_machine
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = scatter_is_vs_machine(pd.read_csv(snakemake.input[0]))
        for path in snakemake.output:
            save_figure(figure, path)
