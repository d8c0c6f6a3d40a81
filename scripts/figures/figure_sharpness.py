"""Draw how well every patch size predicts the networks, at several times."""

from pathlib import Path

import pandas as pd

from patchmosaic.figures.sharpness import sharpness
from patchmosaic.figures.style import save_figure
from patchmosaic.sampling.scales import read_scales
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, names = snakemake.input, snakemake.params.networks
        cosines = dict(zip(names, map(pd.read_csv, given.cosines), strict=True))
        scales = [read_scales(Path(path)) for path in given.scales]
        figure = sharpness(cosines, dict(zip(names, scales, strict=True)))
        for path in snakemake.output:
            save_figure(figure, path)
