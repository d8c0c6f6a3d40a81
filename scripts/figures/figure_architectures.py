"""Draw ResNet, UNet and the machines of each from the same seeds."""

from pathlib import Path

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.figures.pairs import pairs
from patchmosaic.figures.style import save_figure
from patchmosaic.sampling.samples import load_samples
from patchmosaic.system.console import logged

MOST_COLUMNS = 10

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        settings, rows, correlations = snakemake.params, {}, {}
        for title, architecture in (("ResNet", "resnet"), ("UNet", "unet")):
            network, *machines = (
                load_samples(Path(path)).part(0, MOST_COLUMNS)
                for path in snakemake.input[architecture]
            )
            rows[title] = network.images
            for name, samples in zip(settings.machines, machines, strict=True):
                row = f"{name.upper()} of {title}"
                rows[row] = samples.images
                correlations[row] = pearson_r(samples.images, network.images)
        title = f"{snakemake.wildcards.dataset}, {snakemake.wildcards.steps} network steps"
        figure = pairs(rows, network.seeds.tolist(), title, correlations=correlations)
        for path in snakemake.output:
            save_figure(figure, path)
