"""Draw how far networks look, over time, beside their locality scales."""

import numpy as np
import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import jacobians, save_figure

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        maps, scales, seeds = {}, {}, set()
        files = zip(snakemake.input.gradients, snakemake.input.scales, strict=True)
        for network, (gradients, table) in zip(snakemake.params.networks, files, strict=True):
            with np.load(gradients) as arrays:
                times = arrays["t"].round(6)
                maps[network] = dict(zip(times, arrays["gradients"], strict=True))
                seeds.add(len(arrays["seeds"]))
            table = pd.read_csv(table)
            scales[network] = dict(zip(table["t"].round(6), table["patch_size"], strict=True))
        figure = jacobians(maps, scales, seeds.pop())
        for path in snakemake.output:
            save_figure(figure, path)
