"""Compare LS, with scales that are calibrated to LS, with a network."""

from pathlib import Path

import pandas as pd
import torch

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.datasets.images import load_images
from patchmosaic.machines.build import machine_of_bank
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.calibration import choose_scales, cosine_similarities, scales_of
from patchmosaic.sampling.sampler import machine_x0, sample
from patchmosaic.sampling.samples import join_shards, load_samples
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        conditional = settings.conditional

        def machine_of(bank):
            return machine_of_bank("ls", load_images(bank), settings, snakemake.threads)

        def images_and_labels(samples):
            labels = torch.from_numpy(samples.labels) if conditional else None
            return torch.from_numpy(samples.images), labels

        network, _ = load_checkpoint(*map(Path, given.network))
        calibration, told = images_and_labels(load_samples(Path(given.calibration)))
        cosines = cosine_similarities(
            network,
            machine_of(given.calibration_bank),
            calibration,
            told,
            settings.machine_steps,
            settings.patch_sizes,
        )
        images, labels = images_and_labels(load_samples(Path(given.noise)))
        of_ls = sample(
            machine_x0(machine_of(given.bank), labels, scales_of(choose_scales(cosines))),
            images,
            settings.machine_steps,
            settings.machine_start,
            description="LS with scales of its own",
        )
        tables = []
        for steps in settings.network_steps:
            samples = join_shards([Path(path) for path in given[f"network_{steps}"]])
            r = pearson_r(of_ls, samples.images)
            table = pd.DataFrame({"seed": samples.seeds, "pearson_r": r})
            tables.append(table.assign(network_steps=steps))
        table = pd.concat(tables).assign(network=snakemake.wildcards.network)
        table.to_csv(snakemake.output[0], index=False)
