"""Compare ELS and a network, seed by seed, under every variant."""

from pathlib import Path

import pandas as pd

from patchmosaic.analysis.variants import variant_agreement
from patchmosaic.sampling.samples import join_shards
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        tables = []
        for name, shards in snakemake.params.compared.items():
            changes = snakemake.params.variants.get(name, {})
            table = variant_agreement(
                join_shards([Path(path) for path in shards["machine"]]),
                join_shards([Path(path) for path in shards["network"]]),
                clamped=changes.get("clamped", False),
                shuffled=changes.get("shuffled", False),
            )
            tables.append(table.assign(variant=name, kind=changes.get("kind", "")))
        table = pd.concat(tables).assign(
            network=snakemake.wildcards.network, network_steps=int(snakemake.wildcards.steps)
        )
        table.to_csv(snakemake.output[0], index=False)
