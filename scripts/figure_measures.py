"""Draw r, r^2 and R^2 side by side."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import measures, save_figure
from patchmosaic.headline import load_expected

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        expected = load_expected(snakemake.input.expected)
        figure = measures(pd.read_csv(snakemake.input.agreement), expected.paper)
        for path in snakemake.output:
            save_figure(figure, path)
