"""Write the paper's tables with ours beside them."""

from pathlib import Path

import pandas as pd

from patchmosaic.publish.paper_page import render_paper
from patchmosaic.system.console import logged
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.paper_tables import beside_paper, to_latex

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        paper = load_paper(snakemake.input.paper).rows
        table = beside_paper(pd.read_csv(snakemake.input.headline), paper)
        table.to_csv(snakemake.output.csv, index=False)
        Path(snakemake.output.latex).write_text(to_latex(table), encoding="utf-8")
        page = render_paper(table, snakemake.params.experiment, snakemake.params.pages)
        Path(snakemake.output.html).write_text(page, encoding="utf-8")
