"""Compare the headline numbers with the committed ones."""

from pathlib import Path

import pandas as pd

from patchmosaic.system.console import logged
from patchmosaic.tables.committed import compare, load_committed
from patchmosaic.tables.text import format_comparison

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        committed = load_committed(snakemake.input.committed)
        experiment = snakemake.params.experiment
        comparison = compare(pd.read_csv(snakemake.input.headline), committed, experiment)
        text = format_comparison(comparison)
        if len(committed.get(experiment, ())) and not comparison["ok"].all():
            raise ValueError(f"the headline numbers are not the committed ones:\n{text}")
        Path(snakemake.output[0]).write_text(text + "\n")
