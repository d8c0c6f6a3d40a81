"""Draw r, r^2 and R^2 side by side."""

import pandas as pd

from patchmosaic.figures.measures import measures
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged
from patchmosaic.tables.expected import load_expected

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        expected = load_expected(snakemake.input.expected)
        figure = measures(pd.read_csv(snakemake.input.agreement), expected.paper)
        for path in snakemake.output:
            save_figure(figure, path)
