"""Measure how far samples are from the training images, with held-out images as the yardstick."""

from pathlib import Path

import pandas as pd
import torch

from patchmosaic.analysis.novelty import novelty
from patchmosaic.datasets.banks import with_flips
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.publish.names import HELD_OUT
from patchmosaic.sampling.samples import join_shards
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        given, settings = snakemake.input, snakemake.params
        seen = load_images(given.training)
        training = to_float(with_flips(seen) if settings.flips else seen)
        tables = []
        for path in given.held_out:
            images = to_float(load_images(path))[: settings.held_out]
            tables.append(novelty(images, training).assign(source=HELD_OUT))
        for kind, source in settings.sources.items():
            samples = join_shards([Path(shard) for shard in given[kind]])
            table = novelty(torch.from_numpy(samples.images), training)
            tables.append(table.assign(source=source, seed=samples.seeds))
        table = pd.concat(tables).assign(network=snakemake.wildcards.network)
        table["seed"] = table["seed"].astype("Int64")
        table.to_csv(snakemake.output[0], index=False)
