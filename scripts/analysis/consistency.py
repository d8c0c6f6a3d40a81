"""Measure how locally consistent the images are that a network and the machines predict."""

from pathlib import Path

import pandas as pd
import torch

from patchmosaic.analysis.consistency import consistency_over_time
from patchmosaic.datasets.banks import part_of_bank
from patchmosaic.datasets.images import load_images
from patchmosaic.machines.build import machine_of_bank
from patchmosaic.sampling.sampler import machine_x0
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import read_scales
from patchmosaic.sampling.trajectories import follow, load_trajectories
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        scales, by_class = read_scales(Path(given.scales)), settings.conditional
        seeds, trajectories = load_trajectories(Path(given.trajectories))
        noise = load_samples(Path(given.noise)).part(0, len(seeds))
        labels = torch.from_numpy(noise.labels) if by_class else None
        bank = part_of_bank(load_images(given.bank), settings.images, by_class)

        # Machines anew, of the same few images as the patches that their images are compared with.
        followed = {"network": trajectories["network"]}
        for name in settings.machines:
            machine = machine_of_bank(name, bank, settings, snakemake.threads)
            predict = machine_x0(machine, labels, scales if machine.needs_scales else None)
            followed[name] = follow(
                predict, torch.from_numpy(noise.images), followed["network"].times
            )
        judge = machine_of_bank("els", bank, settings, snakemake.threads)
        tables = []
        for name, trajectory in followed.items():
            table = consistency_over_time(
                judge, trajectory, scales, seeds, settings.every, settings.tolerance, labels
            )
            tables.append(table.assign(source=name))
        table = pd.concat(tables).assign(network=snakemake.wildcards.network)
        table.to_csv(snakemake.output[0], index=False)
