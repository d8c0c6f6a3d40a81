"""Follow an ELS machine, and find the training patches behind every pixel."""

from pathlib import Path

import numpy as np
import torch

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.publish.explorer import explore, random_part
from patchmosaic.publish.explorer_page import Exploration, save_explorations
from patchmosaic.sampling.protocols import protocol
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import read_scales
from patchmosaic.sampling.trajectories import load_trajectories
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        noise = load_samples(Path(given.noise)).part(0, settings.seeds)
        bank, scales = load_images(given.bank), read_scales(Path(given.scales))
        if settings.protocol != "ours":
            scales = protocol(settings.protocol).scales(scales)
        seeds, followed = load_trajectories(given.trajectories)
        explorations = []
        for i, seed in enumerate(noise.seeds.tolist()):
            name, candidates = "", np.arange(len(bank))
            if settings.conditional:
                assert noise.labels is not None  # of a class-conditional network
                name = bank.class_names[noise.labels[i]]
                candidates = np.flatnonzero(bank.labels == noise.labels[i])
            chosen = random_part(candidates, settings.images)
            machine = EquivariantLocalScoreMachine(
                to_float(bank.images[chosen]),
                boundary=settings.boundary,
                candidates=settings.candidates,
                engine=settings.engine,
                threads=snakemake.threads,
            )
            found = explore(
                machine,
                {n: trajectory.of(seeds.index(seed)) for n, trajectory in followed.items()},
                scales,
                settings.moments,
                settings.top,
                settings.steps,
                settings.start,
                settings.protocol,
            )
            explorations.append(
                Exploration(
                    seed=seed,
                    label=name,
                    part=bank.images[chosen],
                    ids=bank.ids[chosen],
                    bank_images=len(candidates),
                    **found,
                )
            )
        save_explorations(snakemake.output[0], explorations)
