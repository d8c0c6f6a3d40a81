"""Test whether our medians are within a margin of the paper's."""

import pandas as pd

from patchmosaic.system.console import logged
from patchmosaic.tables.equivalence import equivalence
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.protocol import load_protocol

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, paper = snakemake.input, load_paper(snakemake.input.paper)
        table = equivalence(
            pd.read_csv(given.agreement),
            paper,
            pd.read_csv(given.trainings),
            load_protocol(given.protocol),
            snakemake.params.repeats,
        )
        table.to_csv(snakemake.output[0], index=False)
