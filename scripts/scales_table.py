"""Put the locality scales of all networks into one table."""

from pathlib import Path

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.records import read_scales

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, tables = snakemake.input, []
        for network, scales, cosines in zip(
            snakemake.params.networks, given.scales, given.cosines, strict=True
        ):
            found = pd.DataFrame(read_scales(Path(scales)).items(), columns=["t", "patch_size"])
            n = pd.read_csv(cosines)["trajectory"].nunique()
            tables.append(found.assign(network=network, trajectories=n))
        table = pd.concat(tables)[["network", "t", "patch_size", "trajectories"]]
        table.to_csv(snakemake.output[0], index=False)
