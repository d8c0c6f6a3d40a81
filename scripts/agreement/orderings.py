"""Ask the paper's orderings of our numbers, seed by seed."""

import pandas as pd

from patchmosaic.system.console import logged
from patchmosaic.tables.expected import load_expected
from patchmosaic.tables.orderings import orderings

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        expected = load_expected(snakemake.input.expected)
        agreement = pd.read_csv(snakemake.input.agreement)
        table = orderings(agreement, expected.paper, snakemake.params.kinds)
        table.to_csv(snakemake.output[0], index=False)
