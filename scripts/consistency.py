"""Measure how locally consistent the images are that a network and the machines predict."""

from pathlib import Path

import pandas as pd
import torch

from patchmosaic.consistency import consistency_over_time
from patchmosaic.console import logged
from patchmosaic.datasets import load_images, to_float
from patchmosaic.machines import EquivariantLocalScoreMachine
from patchmosaic.records import read_scales
from patchmosaic.samples import load_samples
from patchmosaic.trajectories import load_trajectories

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        bank, scales = load_images(given.bank), read_scales(Path(given.scales))
        seeds, trajectories = load_trajectories(given.trajectories)
        noise = load_samples(Path(given.noise)).part(0, len(seeds))
        machine = EquivariantLocalScoreMachine(
            to_float(bank),
            torch.from_numpy(bank.labels) if settings.conditional else None,
            boundary=settings.boundary,
            candidates=settings.candidates,
            engine=settings.engine,
            threads=snakemake.threads,
        )
        tables = []
        for name, trajectory in trajectories.items():
            table = consistency_over_time(
                machine,
                trajectory,
                scales,
                seeds,
                settings.every,
                settings.tolerance,
                torch.from_numpy(noise.labels) if settings.conditional else None,
            )
            tables.append(table.assign(source=name))
        table = pd.concat(tables).assign(network=snakemake.wildcards.network)
        table.to_csv(snakemake.output[0], index=False)
