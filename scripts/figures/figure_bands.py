"""Draw the agreement of final images by band of spatial frequency."""

import pandas as pd

from patchmosaic.figures.bands import bands
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = bands(pd.concat([pd.read_csv(path) for path in snakemake.input]))
        for path in snakemake.output:
            save_figure(figure, path)
