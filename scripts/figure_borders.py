"""Draw which training patches a query patch is compared with."""

from patchmosaic.console import logged
from patchmosaic.figures import border_dictionaries, save_figure

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        figure = border_dictionaries()
        for path in snakemake.output:
            save_figure(figure, path)
