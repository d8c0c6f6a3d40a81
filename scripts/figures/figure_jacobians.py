"""Draw how far networks look, over time, beside their locality scales."""

from pathlib import Path

from patchmosaic.figures.jacobians import jacobians
from patchmosaic.figures.style import save_figure
from patchmosaic.sampling.scales import read_scales
from patchmosaic.system.arrays import read_arrays
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        maps, scales, seeds = {}, {}, set()
        files = zip(snakemake.input.gradients, snakemake.input.scales, strict=True)
        for network, (gradients, table) in zip(snakemake.params.networks, files, strict=True):
            arrays = read_arrays(gradients)
            times = arrays["t"].round(6)
            maps[network] = dict(zip(times, arrays["gradients"], strict=True))
            seeds.add(len(arrays["seeds"]))
            scales[network] = {round(t, 6): p for t, p in read_scales(Path(table)).items()}
        figure = jacobians(maps, scales, seeds.pop())
        for path in snakemake.output:
            save_figure(figure, path)
