"""Train a network by its recipe, or continue an interrupted run."""

import signal
from pathlib import Path

import torch

from patchmosaic.datasets.banks import require_classes
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.networks.checkpoints import save_checkpoint
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.training import TrainingRecipe, train
from patchmosaic.system.console import logged
from patchmosaic.system.devices import claim_card

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        stop_requests: list[bool] = []
        signal.signal(signal.SIGTERM, lambda *_: stop_requests.append(True))
        torch.set_num_threads(snakemake.threads)
        network, images = snakemake.params.network, load_images(snakemake.input.images)
        labels = None
        if network["conditional"]:
            where = f"networks.{snakemake.wildcards.network}.conditional"
            labels = torch.from_numpy(require_classes(images, where))
        _, channels, size, _ = images.images.shape
        config = NetworkConfig.of(network, channels, size, len(images.class_names))
        device = "cuda" if snakemake.resources.gpu and torch.cuda.is_available() else "cpu"
        claim = claim_card(Path(snakemake.params.state).parent) if device == "cuda" else None
        weights, snapshots, record = train(
            config,
            TrainingRecipe(**snakemake.params.recipe),
            to_float(images),
            labels,
            images.digest,
            Path(snakemake.params.state),
            snakemake.params.code,
            device=device,
            should_stop=lambda: bool(stop_requests),
        )
        record["dataset"] = network["dataset"]
        save_checkpoint(Path(snakemake.output.weights), weights, record, snapshots)
        if claim:
            claim.close()
