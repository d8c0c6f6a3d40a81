"""Fit affine maps to a network."""

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.distilled import SETTINGS, save_corrections
from patchmosaic.machines.gaussian import WienerFilter
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.distillation import distill
from patchmosaic.sampling.sampler import network_x0, visited_times
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, made = snakemake.params, snakemake.output
        network, _ = load_checkpoint(*map(Path, snakemake.input.network))
        bank = load_images(snakemake.input.bank)
        labels = torch.from_numpy(bank.labels) if settings.conditional else None
        corrections, fits = distill(
            lambda x_t, t, told: network_x0(network, told)(x_t, t),
            WienerFilter(to_float(bank), labels),
            visited_times(settings.steps, settings.start, settings.protocol)[:-1],
            settings.samples,
            settings.held_out,
            settings.ridges,
            settings.seed,
        )
        told = {name: getattr(settings, name) for name in SETTINGS}
        save_corrections(Path(made.filters), corrections, told)
        table = pd.DataFrame(map(asdict, fits)).assign(network=snakemake.wildcards.network)
        table.to_csv(made.fits, index=False)
