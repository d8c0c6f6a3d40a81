"""Verify a network of EDM by asking it, and bring weights and record here."""

import shutil
from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.edm import build_edm
from patchmosaic.networks.edm_header import check_images, read_header
from patchmosaic.networks.external import Running
from patchmosaic.networks.probing import examined_record
from patchmosaic.system.console import logged
from patchmosaic.system.files import sha256_of
from patchmosaic.system.records import save_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        given, made, settings = snakemake.input, snakemake.output, snakemake.params
        weights, images = Path(given.weights), load_images(given.images)
        header, running = read_header(weights), Running(**settings.running)
        shape, classes = images.images.shape[1:], len(images.class_names)
        check_images(weights, header, shape, settings.conditional, classes)
        network = build_edm(weights, header, weights, running)
        shutil.copyfile(weights, made.weights)
        where = f"networks.{snakemake.wildcards.network}.conditional"
        source = {"edm": header}
        record = examined_record(
            network,
            images,
            where if settings.conditional else None,
            settings.dataset,
            source,
        )
        record["weights_sha256"] = sha256_of(Path(made.weights))
        save_record(Path(made.record), record)
