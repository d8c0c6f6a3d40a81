"""Draw a figure: the module of patchmosaic.figures that its rule names knows how."""

from importlib import import_module

from matplotlib.figure import Figure

from patchmosaic.figures.style import save_animation, save_figure
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        module = import_module(f"patchmosaic.figures.{snakemake.params.figure}")
        drawn = module.draw(**dict(snakemake.input.items()), **snakemake.params.settings)
        if isinstance(drawn, Figure):
            for path in snakemake.output:
                save_figure(drawn, path)
        else:
            save_animation(drawn, *snakemake.output)
