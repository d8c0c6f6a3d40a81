"""Verify packaged locality scales, and that they are for this network; copy them to the results."""

import shutil
from pathlib import Path

from patchmosaic.networks.records import verify_checkpoint
from patchmosaic.sampling.scales import verify_scales
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        weights = verify_checkpoint(Path(snakemake.input.network))["weights_sha256"]
        verify_scales(Path(snakemake.input.record), weights)
        for kind in ("scales", "cosines", "record"):
            shutil.copyfile(snakemake.input[kind], snakemake.output[kind])
