"""Say of each disputed claim what becomes of it, and by which tests."""

import pandas as pd

from patchmosaic.system.console import logged
from patchmosaic.tables.claims import (
    decided,
    gradients_table,
    judged,
    of_agreement,
    of_gradients,
    of_hybrids,
    of_own_scales,
    of_steps,
    of_training,
)
from patchmosaic.tables.protocol import load_protocol

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        given, settings = snakemake.input, snakemake.params

        def table(paths):
            return pd.concat(map(pd.read_csv, paths), ignore_index=True) if paths else None

        agreement = table(given.agreement)
        tests = of_agreement(agreement)
        tests += of_own_scales(table(given.scales), agreement)
        gradients = table(given.gradients)
        tests += of_gradients(gradients, settings.pairs, agreement)
        if given.training:
            tests += of_training(table(given.training))
        tests += of_steps(table(given.steps)) + of_hybrids(table(given.hybrids))
        found = judged(tests, load_protocol(given.protocol).margin)
        found.to_csv(snakemake.output.tests, index=False)
        decided(found).to_csv(snakemake.output.claims, index=False)
        gradients_table(gradients).to_csv(snakemake.output.gradients, index=False)
