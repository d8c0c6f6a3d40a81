"""Follow a network and an ELS machine, and find the training patches behind every pixel."""

from pathlib import Path

import numpy as np
import torch

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.publish.explorer import explore, random_part
from patchmosaic.publish.explorer_page import Exploration, save_explorations
from patchmosaic.sampling.sampler import network_x0
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import read_scales
from patchmosaic.sampling.schedule import reverse_times
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        noise = load_samples(Path(given.noise)).part(0, settings.seeds)
        bank, scales = load_images(given.bank), read_scales(Path(given.scales))
        network, _ = load_checkpoint(*map(Path, given.network))
        explorations = []
        for i, seed in enumerate(noise.seeds.tolist()):
            labels, name, candidates = None, "", np.arange(len(bank))
            if settings.conditional:
                assert noise.labels is not None  # of a class-conditional network
                labels = torch.from_numpy(noise.labels[i : i + 1])
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
                network_x0(network, labels),
                torch.from_numpy(noise.images[i : i + 1]),
                reverse_times(settings.steps, settings.start),
                scales,
                settings.moments,
                settings.top,
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
