"""Choose the locality scales of a network."""

from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images
from patchmosaic.machines.build import machine_of_bank
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.calibration import choose_scales, cosine_similarities
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import save_scales_record
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings = snakemake.params
        network, training = load_checkpoint(*map(Path, snakemake.input.network))
        bank, noise = load_images(snakemake.input.bank), load_samples(Path(snakemake.input.noise))
        conditional = settings.conditional
        machine = machine_of_bank(settings.machine, bank, settings, snakemake.threads)
        cosines = cosine_similarities(
            network,
            machine,
            torch.from_numpy(noise.images),
            torch.from_numpy(noise.labels) if conditional else None,
            settings.steps,
            settings.patch_sizes,
        )
        cosines.to_csv(snakemake.output.cosines, index=False)
        choose_scales(cosines).to_csv(snakemake.output.scales, index=False)
        record = {
            "network": snakemake.wildcards.network,
            "machine": settings.machine,
            "weights_sha256": training["weights_sha256"],
            "boundary": settings.boundary,
            "candidates": settings.candidates,
            "engine": machine.engine,
            "steps": settings.steps,
            "patch_sizes": settings.patch_sizes,
            "bank_images": len(bank),
            "flips": bank.record["flips"],
            "bank_sha256": bank.digest,
            "seeds": noise.seeds.tolist(),
            "noise_sha256": noise.record["sha256"],
        }
        tables = [Path(snakemake.output.scales), Path(snakemake.output.cosines)]
        save_scales_record(Path(snakemake.output.record), tables, record)
