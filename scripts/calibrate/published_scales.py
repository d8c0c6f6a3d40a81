"""Write the locality scales that the paper's authors published, with a record."""

from pathlib import Path

import pandas as pd

from patchmosaic.networks.records import verify_checkpoint
from patchmosaic.sampling.scales import save_scales_record
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        published, table = snakemake.params.published, Path(snakemake.output.scales)
        scales = pd.Series(published.scale_table(), name="patch_size").rename_axis("t")
        scales.round(6).to_csv(table)
        weights = verify_checkpoint(Path(snakemake.input.network))["weights_sha256"]
        record = {"published_for": published.file, "weights_sha256": weights}
        save_scales_record(Path(snakemake.output.record), [table], record)
