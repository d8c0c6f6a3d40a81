"""Verify an external network by asking it, and bring weights, Python file and record here."""

import shutil
from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.external import Running, load_external
from patchmosaic.networks.probing import examined_record
from patchmosaic.system.console import logged
from patchmosaic.system.files import sha256_of
from patchmosaic.system.records import save_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        given, made, settings = snakemake.input, snakemake.output, snakemake.params
        shutil.copyfile(given.weights, made.weights)
        shutil.copyfile(given.module, made.module)
        digest, images = sha256_of(Path(made.module)), load_images(given.images)
        running = Running(**settings.running)
        network = load_external(
            Path(given.module),
            Path(given.weights),
            settings.predicts,
            digest,
            settings.direction,
            running,
        )
        where = f"networks.{snakemake.wildcards.network}.conditional"
        source = {
            "module": Path(given.module).name,
            "module_sha256": digest,
            "direction": settings.direction,
        }
        record = examined_record(
            network,
            images,
            where if settings.conditional else None,
            settings.dataset,
            source,
        )
        record["weights_sha256"] = sha256_of(Path(made.weights))
        save_record(Path(made.record), record)
