"""Verify an external network by asking it, and bring weights, Python file and record here."""

import platform
import shutil
from dataclasses import asdict
from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.external import Running, load_external
from patchmosaic.networks.probing import examine_prepared
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
        record = {
            "external": {
                "module": Path(given.module).name,
                "module_sha256": digest,
                "predicts": settings.predicts,
                "direction": settings.direction,
                "running": asdict(running),
            },
            "dataset": settings.dataset,
            **examine_prepared(network, images, where if settings.conditional else None),
            "images_seen": None,
            "weights_sha256": sha256_of(Path(made.weights)),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        save_record(Path(made.record), record)
