"""Take a network's input gradients along its own reverse trajectories."""

from pathlib import Path

import numpy as np
import torch

from patchmosaic.analysis.jacobians import gradients_over_time
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.samples import load_samples
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings = snakemake.params
        network, _ = load_checkpoint(*map(Path, snakemake.input.network))
        noise = load_samples(Path(snakemake.input.noise)).part(0, settings.seeds)
        labels = torch.from_numpy(noise.labels) if settings.conditional else None
        gradients = gradients_over_time(
            network, torch.from_numpy(noise.images), labels, settings.steps, settings.moments
        )
        np.savez(
            snakemake.output[0],
            t=np.array(list(gradients)),
            gradients=np.stack(list(gradients.values())),
            seeds=noise.seeds,
        )
