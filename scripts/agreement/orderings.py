"""Ask the paper's orderings of our numbers, seed by seed."""

import pandas as pd

from patchmosaic.system.console import logged
from patchmosaic.tables.orderings import orderings
from patchmosaic.tables.paper import load_paper

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        paper = load_paper(snakemake.input.paper).rows
        agreement = pd.read_csv(snakemake.input.agreement)
        table = orderings(agreement, paper, snakemake.params.kinds)
        table.to_csv(snakemake.output[0], index=False)
