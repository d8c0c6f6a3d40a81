"""Run a trained network from a shard of the seeds."""

from pathlib import Path

import torch

from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.sampler import changed_noise, network_x0, sample
from patchmosaic.sampling.samples import Samples, load_samples, save_samples
from patchmosaic.system.console import logged
from patchmosaic.system.devices import choose_device

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, steps = snakemake.params, int(snakemake.wildcards.steps)
        files = map(Path, snakemake.input.network)
        network, training = load_checkpoint(*files, snapshot=settings.weights)
        device = choose_device(settings.device)
        network = network.to(device)
        size = settings.shard_size
        first = int(snakemake.wildcards.shard) * size
        noise = load_samples(Path(snakemake.input.noise)).part(first, first + size)
        labels = noise.labels if settings.conditional else None
        images = sample(
            network_x0(network, None if labels is None else torch.from_numpy(labels).to(device)),
            changed_noise(noise, settings.noise_change).to(device),
            steps,
            settings.start,
            description=f"{snakemake.wildcards.network} {steps} steps",
            protocol=settings.protocol,
        )
        record = {
            "network": snakemake.wildcards.network,
            "device": device.type,
            "steps": steps,
            "start": settings.start,
            "protocol": settings.protocol,
            "weights_sha256": training["weights_sha256"],
            "weights": settings.weights or "averaged",
            "noise_change": settings.noise_change,
            "noise_sha256": noise.record["sha256"],
        }
        result = Samples(images.cpu().numpy(), noise.seeds, labels, record)
        save_samples(Path(snakemake.output[0]), result)
