"""Copy packaged locality scales to the results."""

import shutil

from patchmosaic.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        shutil.copyfile(snakemake.input.scales, snakemake.output.scales)
        shutil.copyfile(snakemake.input.cosines, snakemake.output.cosines)
