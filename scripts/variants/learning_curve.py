"""Compare machines with a network at several moments of its training."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.sampler import network_x0, sample
from patchmosaic.sampling.samples import join_shards, load_samples, require_same_noise
from patchmosaic.system.console import logged
from patchmosaic.system.records import load_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, path = snakemake.params, Path(snakemake.input.network)
        record = load_record(path)
        moments = {0: "untrained"}
        moments |= {int(name): name for name in record["snapshots"] if name.isdigit()}
        moments[record["images_seen"]] = ""
        noise = load_samples(Path(snakemake.input.noise))
        labels = torch.from_numpy(noise.labels) if settings.conditional else None
        machines = {
            name: join_shards([Path(shard) for shard in snakemake.input[name]])
            for name in settings.machines
        }
        of_noise = replace(noise, record={"noise_sha256": noise.record["sha256"]})
        require_same_noise({"the noise": of_noise, **machines})
        tables = []
        for images_seen, weights in sorted(moments.items()):
            network, _ = load_checkpoint(path, snapshot=weights)
            images = sample(
                network_x0(network, labels),
                torch.from_numpy(noise.images),
                settings.steps,
                settings.start,
                description=f"{snakemake.wildcards.network} after {images_seen} images",
            ).numpy()
            for name, samples in machines.items():
                r = pearson_r(samples.images, images)
                table = pd.DataFrame({"seed": samples.seeds, "pearson_r": r})
                tables.append(table.assign(images_seen=images_seen, machine=name))
        table = pd.concat(tables).assign(
            network=snakemake.wildcards.network, network_steps=settings.steps
        )
        table.to_csv(snakemake.output[0], index=False)
