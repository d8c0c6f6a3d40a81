"""Follow a network step by step, and put the machines' trajectories beside its own."""

from pathlib import Path

import torch

from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.sampler import network_x0, sample, visited_times
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.trajectories import gathered, load_joined, save_trajectories
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        noise = load_samples(Path(given.noise)).part(0, settings.seeds)
        labels = torch.from_numpy(noise.labels) if settings.conditional else None
        network, _ = load_checkpoint(*map(Path, given.network))
        seeds, images = noise.seeds.tolist(), torch.from_numpy(noise.images)
        visited: list = []
        final = sample(
            network_x0(network, labels),
            images,
            settings.steps,
            settings.start,
            description=snakemake.wildcards.network,
            observe=lambda _, *pair: visited.append(pair),
            protocol=settings.protocol,
        )
        times = visited_times(settings.steps, settings.start, settings.protocol)
        trajectories = {"network": gathered(times, visited, final)}
        for machine in settings.machines:
            paths = [Path(path) for path in given[machine]]
            trajectories[machine] = load_joined(paths, machine, seeds, noise.images)
        save_trajectories(Path(snakemake.output[0]), seeds, trajectories)
