"""Draw the medians with their intervals beside the paper's."""

import pandas as pd

from patchmosaic.figures.headline import headline_chart
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = headline_chart(pd.read_csv(snakemake.input[0]))
        for path in snakemake.output:
            save_figure(figure, path)
