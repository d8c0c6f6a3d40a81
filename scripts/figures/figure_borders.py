"""Draw which training patches a query patch is compared with."""

from patchmosaic.figures.borders import border_dictionaries
from patchmosaic.figures.style import save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = border_dictionaries()
        for path in snakemake.output:
            save_figure(figure, path)
