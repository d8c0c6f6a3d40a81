"""Compare the headline numbers with the committed ones."""

from pathlib import Path

import pandas as pd

from patchmosaic.system.console import logged
from patchmosaic.tables.expected import compare, load_expected
from patchmosaic.tables.text import format_comparison

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        expected = load_expected(snakemake.input.expected)
        experiment = snakemake.params.experiment
        comparison = compare(pd.read_csv(snakemake.input.headline), expected, experiment)
        text = format_comparison(comparison)
        if len(expected.committed.get(experiment, ())) and not comparison["ok"].all():
            raise ValueError(f"the headline numbers are not the committed ones:\n{text}")
        Path(snakemake.output[0]).write_text(text + "\n")
