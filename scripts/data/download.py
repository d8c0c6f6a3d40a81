"""Fetch and verify a dataset's raw files."""

from pathlib import Path

from patchmosaic.datasets.fetching import fetch
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        fetch(
            snakemake.params.source,
            Path(snakemake.output[0]).parent,
            local=snakemake.params.local,
        )
