"""Tabulate the locality scales of all networks, and the best P of single trajectories."""

from pathlib import Path

import pandas as pd

from patchmosaic.sampling.scales import best_sizes, read_scales
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, tables = snakemake.input, []
        for network, scales, cosines in zip(
            snakemake.params.networks, given.scales, given.cosines, strict=True
        ):
            found = pd.DataFrame(read_scales(Path(scales)).items(), columns=["t", "patch_size"])
            found["t"] = found["t"].round(6)
            every = pd.read_csv(cosines)
            best = best_sizes(every)
            sizes = best.groupby(best["t"].round(6))["patch_size"].agg(["min", "max"])
            sizes = sizes.rename(columns={"min": "smallest", "max": "largest"})
            found = found.join(sizes, on="t")
            n = every["trajectory"].nunique()
            tables.append(found.assign(network=network, trajectories=n))
        columns = ["network", "t", "patch_size", "smallest", "largest", "trajectories"]
        table = pd.concat(tables)[columns]
        table.to_csv(snakemake.output[0], index=False)
