"""Draw how well every patch size predicts the networks, at several times."""

from pathlib import Path

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import save_figure, sharpness
from patchmosaic.records import read_scales

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, names = snakemake.input, snakemake.params.networks
        cosines = dict(zip(names, map(pd.read_csv, given.cosines), strict=True))
        scales = [read_scales(Path(path)) for path in given.scales]
        figure = sharpness(cosines, dict(zip(names, scales, strict=True)))
        for path in snakemake.output:
            save_figure(figure, path)
