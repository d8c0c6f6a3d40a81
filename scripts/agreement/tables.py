"""Gather all seeds in one table, and take the medians."""

import pandas as pd

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.system.console import logged
from patchmosaic.tables.headline import headline
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.text import format_headline

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        agreement = pd.concat([pd.read_csv(path) for path in snakemake.input.agreement])
        medians = headline(agreement, load_paper(snakemake.input.paper).rows)
        agreement.to_csv(snakemake.output.agreement, index=False)
        medians.to_csv(snakemake.output.headline, index=False)
        print(format_headline(medians, paired_differences(agreement, [("els", "is")])))
