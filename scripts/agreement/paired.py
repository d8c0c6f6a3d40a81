"""Compare machines with each other, seed by seed."""

import pandas as pd

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        table = paired_differences(pd.read_csv(snakemake.input[0]), snakemake.params.pairs)
        table.to_csv(snakemake.output[0], index=False)
