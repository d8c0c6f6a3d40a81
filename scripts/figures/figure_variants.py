"""Draw the agreement under every control and ablation."""

import pandas as pd

from patchmosaic.figures.style import save_figure
from patchmosaic.figures.variants import variants
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = variants(pd.read_csv(snakemake.input[0]), unchanged=snakemake.params.unchanged)
        for path in snakemake.output:
            save_figure(figure, path)
