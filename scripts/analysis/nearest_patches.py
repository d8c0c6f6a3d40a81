"""Measure how far the patches of samples are from training patches, beside held-out images."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from patchmosaic.analysis.nearest_patches import patch_distances
from patchmosaic.datasets.banks import part_of_bank
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.publish.names import HELD_OUT
from patchmosaic.sampling.samples import join_shards
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        given, settings = snakemake.input, snakemake.params
        bank, by_class = load_images(given.bank), settings.conditional
        bank = part_of_bank(bank, settings.images, by_class)
        machine = EquivariantLocalScoreMachine(
            to_float(bank),
            None if bank.labels is None else torch.from_numpy(bank.labels),
            boundary=settings.boundary,
            candidates=settings.candidates,
            engine=settings.engine,
            threads=snakemake.threads,
        )

        def measured(images: torch.Tensor, labels: np.ndarray | None) -> pd.DataFrame:
            told = torch.from_numpy(labels) if by_class and labels is not None else None
            return patch_distances(machine, images, settings.patch_sizes, told)

        tables = []
        for path in given.held_out:
            images = load_images(path)
            chosen = slice(settings.held_out)
            labels = None if images.labels is None else images.labels[chosen]
            table = measured(to_float(images.images[chosen]), labels)
            tables.append(table.assign(source=HELD_OUT))
        for kind, source in settings.sources.items():
            samples = join_shards([Path(shard) for shard in given[kind]])
            samples = samples.part(0, settings.most_seeds)
            table = measured(torch.from_numpy(samples.images), samples.labels)
            tables.append(table.assign(source=source, seed=samples.seeds[table["image"]]))
        table = pd.concat(tables).assign(network=snakemake.wildcards.network)
        table["seed"] = table["seed"].astype("Int64")
        table.to_csv(snakemake.output[0], index=False)
