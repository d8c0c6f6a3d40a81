"""Draw the locality scale of every network over time."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import save_figure, scales

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        table = pd.read_csv(snakemake.input[0])
        found = {
            f"{network}, n = {n}": group.set_index("t")["patch_size"].to_dict()
            for (network, n), group in table.groupby(["network", "trajectories"], sort=False)
        }
        figure = scales(found)
        for path in snakemake.output:
            save_figure(figure, path)
