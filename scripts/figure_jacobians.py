"""Draw how far networks look, over time, beside their locality scales."""

from pathlib import Path

from patchmosaic.arrays import read_arrays
from patchmosaic.console import logged
from patchmosaic.figures import jacobians, save_figure
from patchmosaic.records import read_scales

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
