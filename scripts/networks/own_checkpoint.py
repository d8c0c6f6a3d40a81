"""Verify an own network by asking it, and bring weights, Python file and record to the results."""

import platform
import shutil
from pathlib import Path

import torch

from patchmosaic.datasets.banks import require_classes
from patchmosaic.datasets.content import sha256_of
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.networks.external import PROBE_IMAGES, load_own, probe
from patchmosaic.system.console import logged
from patchmosaic.system.records import save_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        given, made, settings = snakemake.input, snakemake.output, snakemake.params
        shutil.copyfile(given.weights, made.weights)
        shutil.copyfile(given.module, made.module)
        digest, images = sha256_of(Path(made.module)), load_images(given.images)
        network = load_own(Path(given.module), Path(given.weights), settings.predicts, digest)
        if settings.conditional:
            require_classes(images, f"networks.{snakemake.wildcards.network}.conditional")
        labels = torch.from_numpy(images.labels[:PROBE_IMAGES]) if settings.conditional else None
        errors = probe(network, to_float(images.images[:PROBE_IMAGES]), labels)
        record = {
            "own": {
                "module": Path(given.module).name,
                "module_sha256": digest,
                "predicts": settings.predicts,
            },
            "dataset": settings.dataset,
            "probed_images_sha256": images.digest,
            "noise_errors": [{"t": t, "mean_squared_error": e} for t, e in errors.items()],
            "images_seen": None,
            "weights_sha256": sha256_of(Path(made.weights)),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        save_record(Path(made.record), record)
