"""Draw the inconsistent garments of a network, and what the machines make of the same noise."""

from pathlib import Path

import numpy as np

from patchmosaic.analysis.garments import GARMENTS, inconsistent
from patchmosaic.datasets.images import load_images, to_float_array
from patchmosaic.figures.garments import inconsistent_garments
from patchmosaic.figures.style import save_figure
from patchmosaic.sampling.samples import join_shards, require_same_noise
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        training = load_images(snakemake.input.bank)
        names = ["network", *reversed(snakemake.params.machines)]
        samples = {
            name: join_shards([Path(path) for path in snakemake.input[name]]) for name in names
        }
        require_same_noise(samples)
        network = samples["network"]
        classes = np.array(training.class_names)[network.labels]
        garments = np.flatnonzero(np.isin(classes, GARMENTS))
        x_0 = to_float_array(training)
        found = {
            name: inconsistent(
                images.images[garments], images.labels[garments], x_0, training.labels
            )
            for name, images in samples.items()
        }
        figure = inconsistent_garments(
            {name: images.images[garments] for name, images in samples.items()},
            found,
            network.seeds[garments],
            classes[garments],
            f"{snakemake.wildcards.network}, {snakemake.wildcards.steps} steps",
        )
        for path in snakemake.output:
            save_figure(figure, path)
