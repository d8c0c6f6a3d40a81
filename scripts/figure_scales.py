"""Draw the locality scale of every network over time."""

from pathlib import Path

from patchmosaic.console import logged
from patchmosaic.figures import save_figure, scales
from patchmosaic.records import read_scales

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        found = [read_scales(Path(path)) for path in snakemake.input]
        figure = scales(dict(zip(snakemake.params.networks, found, strict=True)))
        for path in snakemake.output:
            save_figure(figure, path)
