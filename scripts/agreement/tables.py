"""Gather all seeds in one table; take their medians, and their tails."""

import pandas as pd

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.system.console import logged
from patchmosaic.tables.headline import headline
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.protocol import load_protocol
from patchmosaic.tables.tails import tails
from patchmosaic.tables.text import format_headline

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, made = snakemake.input, snakemake.output
        agreement = pd.concat([pd.read_csv(path) for path in given.agreement])
        medians = headline(agreement, load_paper(given.paper).rows)
        agreement.to_csv(made.agreement, index=False)
        medians.to_csv(made.headline, index=False)
        tails(agreement, load_protocol(given.protocol).low).to_csv(made.tails, index=False)
        print(format_headline(medians, paired_differences(agreement, [("els", "is")])))
