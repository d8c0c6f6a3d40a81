"""Write the mosaic explorer: a page that shows which training patches made a pixel."""

import warnings
from pathlib import Path

import pandas as pd

from patchmosaic.publish.explorer_page import load_explorations, render_explorer
from patchmosaic.publish.pages import opening
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        settings, given = snakemake.params, snakemake.input
        names = settings.networks
        html = render_explorer(
            settings.experiment,
            {n: load_explorations(p) for n, p in zip(names, given.explorations, strict=True)},
            dict(zip(names, settings.boundaries, strict=True)),
            opening(pd.read_csv(given.headline), pd.read_csv(given.paired)),
            settings.pages,
        )
        if len(html) > settings.most_bytes:
            warnings.warn(
                f"the page has {len(html) / 1e6:.0f} MB, more than the intended "
                f"{settings.most_bytes / 1e6:.0f}: configure fewer networks",
                stacklevel=1,
            )
        Path(snakemake.output[0]).write_text(html, encoding="utf-8")
