"""Draw the agreement under every control and ablation."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import save_figure, variants

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = variants(pd.read_csv(snakemake.input[0]), unchanged=snakemake.params.unchanged)
        for path in snakemake.output:
            save_figure(figure, path)
