"""Verify a network of EDM by asking it, and bring weights and record here."""

import platform
import shutil
from dataclasses import asdict
from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.edm import build_edm
from patchmosaic.networks.edm_header import check_images, read_header
from patchmosaic.networks.external import Running
from patchmosaic.networks.probing import examine_prepared
from patchmosaic.system.console import logged
from patchmosaic.system.files import sha256_of
from patchmosaic.system.records import save_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        given, made, settings = snakemake.input, snakemake.output, snakemake.params
        source, images = Path(given.weights), load_images(given.images)
        header, running = read_header(source), Running(**settings.running)
        shape, classes = images.images.shape[1:], len(images.class_names)
        check_images(source, header, shape, settings.conditional, classes)
        network = build_edm(source, header, source, running)
        shutil.copyfile(source, made.weights)
        where = f"networks.{snakemake.wildcards.network}.conditional"
        record = {
            "external": {
                "predicts": network.predicts,
                "edm": header,
                "running": asdict(running),
            },
            "dataset": settings.dataset,
            **examine_prepared(network, images, where if settings.conditional else None),
            "images_seen": None,
            "weights_sha256": sha256_of(Path(made.weights)),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        save_record(Path(made.record), record)
