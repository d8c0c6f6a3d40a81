"""Follow a network and the machines step by step from the same noise."""

from pathlib import Path

import torch

from patchmosaic.checkpoints import load_checkpoint
from patchmosaic.console import logged
from patchmosaic.datasets import load_images, to_float
from patchmosaic.machines import MACHINES
from patchmosaic.records import read_scales
from patchmosaic.samples import load_samples
from patchmosaic.sampling import machine_x0, network_x0
from patchmosaic.schedule import reverse_times
from patchmosaic.trajectories import follow, save_trajectories

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        noise = load_samples(Path(given.noise)).part(0, settings.seeds)
        seed_images = torch.from_numpy(noise.images)
        labels = torch.from_numpy(noise.labels) if settings.conditional else None
        times = reverse_times(settings.steps, settings.start)
        bank, scales = load_images(given.bank), read_scales(Path(given.scales))
        network, _ = load_checkpoint(*map(Path, given.network))
        trajectories = {}
        for name in ("network", *settings.machines):
            if name == "network":
                predict = network_x0(network, labels)
            else:
                machine = MACHINES[name](
                    to_float(bank),
                    torch.from_numpy(bank.labels) if settings.conditional else None,
                    boundary=settings.boundary,
                    candidates=settings.candidates,
                    engine=settings.engine if MACHINES[name].kernel else "dense",
                    threads=snakemake.threads,
                )
                predict = machine_x0(machine, labels, scales if machine.kernel else None)
            trajectories[name] = follow(predict, seed_images, times)
        save_trajectories(snakemake.output[0], noise.seeds.tolist(), trajectories)
