"""Take the medians of every variant, and their differences from the unchanged chain."""

import pandas as pd

from patchmosaic.analysis.variants import variants_table
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        agreement = pd.concat(
            pd.read_csv(path, keep_default_na=False, na_values={"pearson_r": [""]})
            for path in snakemake.input
        )
        table = variants_table(agreement, snakemake.params.unchanged)
        table.to_csv(snakemake.output[0], index=False)
