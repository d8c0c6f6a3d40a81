"""Read a network of the diffusers library, verify it by asking it, and bring it to the results."""

from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.checkpoints import save_checkpoint
from patchmosaic.networks.diffusers import (
    build_diffusers,
    check_images,
    fetch_model,
    library,
    read_model,
)
from patchmosaic.networks.external import Running
from patchmosaic.networks.model_files import find_files
from patchmosaic.networks.probing import examined_record
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        made, settings = snakemake.output, snakemake.params
        images, folder = load_images(snakemake.input.images), Path(settings.model)
        if settings.revision:
            folder = fetch_model(settings.model, settings.revision)
        where = f"networks.{snakemake.wildcards.network}.conditional"
        files, running = find_files(folder), Running(**settings.running)
        unet, unet_config, scheduler_config = read_model(files)
        classes = len(images.class_names) if settings.conditional else 0
        check_images(files["unet"], unet_config, images.images.shape[1:], classes)
        network = build_diffusers(files["scheduler"], unet_config, scheduler_config, unet, running)
        source = {
            "model": settings.model if settings.revision else folder.name,
            "revision": settings.revision,
            "unet": unet_config,
            "scheduler": scheduler_config,
        }
        record = examined_record(
            network,
            images,
            where if settings.conditional else None,
            settings.dataset,
            source,
            diffusers=library().__version__,
        )
        weights = {k: v.contiguous().cpu() for k, v in unet.state_dict().items()}
        save_checkpoint(Path(made.weights), weights, record)
