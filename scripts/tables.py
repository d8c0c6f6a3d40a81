"""Gather all seeds in one table, and take the medians."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.headline import format_headline, headline, load_expected
from patchmosaic.statistics import paired_differences

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        expected = load_expected(snakemake.input.expected)
        agreement = pd.concat([pd.read_csv(path) for path in snakemake.input.agreement])
        medians = headline(agreement, expected.paper)
        agreement.to_csv(snakemake.output.agreement, index=False)
        medians.to_csv(snakemake.output.headline, index=False)
        print(format_headline(medians, paired_differences(agreement, [("els", "is")])))
