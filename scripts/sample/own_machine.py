"""Verify a machine of one's own by asking it, and keep its Python file and a record."""

import platform
import shutil
from pathlib import Path

import torch

from patchmosaic.datasets.banks import require_classes
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.own import PROBE_BANK, OwnMachine, probe
from patchmosaic.system.console import logged
from patchmosaic.system.files import sha256_of
from patchmosaic.system.records import save_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        given, made, settings = snakemake.input, snakemake.output, snakemake.params
        shutil.copyfile(given.module, made.module)
        digest, images = sha256_of(Path(made.module)), load_images(given.images)
        labels = None
        if settings.conditional:
            where = f"networks.{snakemake.wildcards.network}.conditional"
            labels = torch.from_numpy(require_classes(images, where)[:PROBE_BANK])
        machine = OwnMachine(
            to_float(images.images[:PROBE_BANK]),
            labels,
            Path(given.module),
            boundary=settings.boundary,
            sha256=digest,
            **settings.own,
        )
        probe(machine)
        record = {
            "module": Path(given.module).name,
            "module_sha256": digest,
            **settings.own,
            "boundary": settings.boundary,
            "probed_images_sha256": images.digest,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        save_record(Path(made.record), record)
