"""Where a network looks along its own way, beside the Wiener filters of its images."""

from pathlib import Path

import torch

from patchmosaic.analysis.jacobians import gradients_beside_filters
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.gaussian import WienerFilter
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.sampler import network_x0
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.schedule import reverse_times
from patchmosaic.sampling.trajectories import follow
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        network, _ = load_checkpoint(*map(Path, given.network))
        noise = load_samples(Path(given.noise))
        labels = torch.from_numpy(noise.labels) if settings.conditional else None

        def filter_of(path):
            bank = load_images(path)
            told = torch.from_numpy(bank.labels) if settings.conditional else None
            return WienerFilter(to_float(bank), told)

        filters = {name: filter_of(given[name]) for name in ("own", "plain")}
        images, times = torch.from_numpy(noise.images), reverse_times(settings.steps)
        trajectory = follow(network_x0(network, labels), images, times)
        table = gradients_beside_filters(
            network, trajectory, labels, filters, settings.times, noise.seeds.tolist()
        )
        table = table.assign(network=snakemake.wildcards.network, altered=settings.altered)
        table.to_csv(snakemake.output[0], index=False)
