"""Download, verify and convert a network that the paper's authors published."""

import platform
from dataclasses import asdict
from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images
from patchmosaic.networks.authors import convert, fetch_published
from patchmosaic.networks.checkpoints import save_checkpoint
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        network, published = snakemake.params.network, snakemake.params.published
        images = load_images(snakemake.input.images)
        _, channels, size, _ = images.images.shape
        config = NetworkConfig.of(network, channels, size, len(images.class_names))
        path = fetch_published(published, Path(snakemake.params.folder))
        record = {
            "network": asdict(config),
            "published": {"file": published.file, "git_blob_id": published.blob},
            "dataset": network["dataset"],
            "dataset_digest": images.digest,
            "images_seen": None,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        save_checkpoint(Path(snakemake.output.weights), convert(path, config), record)
