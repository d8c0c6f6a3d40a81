"""Draw the noise and labels of every seed."""

from pathlib import Path

import numpy as np

from patchmosaic.datasets.images import load_images
from patchmosaic.sampling.sampler import seed_labels, seed_noise
from patchmosaic.sampling.samples import Samples, save_samples
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        images, first = load_images(snakemake.input[0]), snakemake.params.first
        seeds = list(range(first, first + snakemake.params.seeds))
        labels = None
        if images.labels is not None:
            labels = seed_labels(seeds, len(images.class_names)).numpy()
        noise = seed_noise(seeds, images.images.shape[1:]).numpy()
        record = {"dataset": snakemake.wildcards.dataset, "purpose": snakemake.wildcards.purpose}
        samples = Samples(noise, np.array(seeds), labels, record)
        save_samples(Path(snakemake.output[0]), samples)
