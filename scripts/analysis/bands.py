"""Compare machines and a network band by band of spatial frequency."""

from pathlib import Path

import pandas as pd

from patchmosaic.analysis.frequencies import band_agreement
from patchmosaic.sampling.samples import join_shards, require_same_noise
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        network = join_shards([Path(path) for path in snakemake.input.network])
        tables = []
        for machine in snakemake.params.machines:
            samples = join_shards([Path(path) for path in snakemake.input[machine]])
            require_same_noise({snakemake.wildcards.network: network, machine: samples})
            table = band_agreement(samples.images, network.images)
            table["seed"] = samples.seeds[table.pop("image")]
            tables.append(table.assign(machine=machine))
        steps = int(snakemake.wildcards.steps)
        table = pd.concat(tables).assign(network=snakemake.wildcards.network, network_steps=steps)
        table.to_csv(snakemake.output[0], index=False)
