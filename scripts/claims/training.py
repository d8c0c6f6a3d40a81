"""Compare ELS with a network at several moments, with scales calibrated anew at each of them."""

from pathlib import Path

import pandas as pd
import torch

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.datasets.images import load_images
from patchmosaic.machines.build import machine_of_bank
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.calibration import choose_scales, cosine_similarities, scales_of
from patchmosaic.sampling.sampler import machine_x0, network_x0, sample
from patchmosaic.sampling.samples import load_samples
from patchmosaic.system.console import logged
from patchmosaic.system.records import load_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given = snakemake.params, snakemake.input
        conditional, path = settings.conditional, Path(given.network)

        def machine_of(bank):
            return machine_of_bank("els", load_images(bank), settings, snakemake.threads)

        def images_and_labels(samples):
            labels = torch.from_numpy(samples.labels) if conditional else None
            return torch.from_numpy(samples.images), labels

        record, noise = load_record(path), load_samples(Path(given.noise))
        moments = {int(name): name for name in record["snapshots"] if name.isdigit()}
        moments[record["images_seen"]] = ""
        machine, calibrating = machine_of(given.bank), machine_of(given.calibration_bank)
        calibration, told = images_and_labels(load_samples(Path(given.calibration)))
        images, labels = images_and_labels(noise)
        tables = []
        for images_seen, weights in sorted(moments.items()):
            network, _ = load_checkpoint(path, snapshot=weights)
            cosines = cosine_similarities(
                network,
                calibrating,
                calibration,
                told,
                settings.machine_steps,
                settings.patch_sizes,
            )
            scales = scales_of(choose_scales(cosines))
            after = f"after {images_seen} images"
            els = sample(
                machine_x0(machine, labels, scales),
                images,
                settings.machine_steps,
                settings.machine_start,
                description=f"ELS {after}",
            )
            of_network = sample(
                network_x0(network, labels),
                images,
                settings.steps,
                settings.start,
                description=f"{snakemake.wildcards.network} {after}",
            )
            r = pearson_r(els, of_network)
            table = pd.DataFrame({"seed": noise.seeds, "pearson_r": r})
            tables.append(table.assign(images_seen=images_seen))
        table = pd.concat(tables).assign(
            network=snakemake.wildcards.network, network_steps=settings.steps
        )
        table.to_csv(snakemake.output[0], index=False)
