"""Compare single predictions of machines and a network, on noised images and on either's way."""

from pathlib import Path

import pandas as pd
import torch

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.single_steps import chosen_images, hybrids, noised, single_steps
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.build import machine_of_bank
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.sampler import machine_x0, network_x0
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import read_scales
from patchmosaic.sampling.trajectories import load_trajectories
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, given, made = snakemake.params, snakemake.input, snakemake.output
        network, _ = load_checkpoint(*map(Path, given.network))
        noise, bank = load_samples(Path(given.noise)), load_images(given.bank)
        scales, seeds = read_scales(Path(given.scales)), noise.seeds.tolist()
        labels = torch.from_numpy(noise.labels) if settings.conditional else None
        told = noise.labels if settings.conditional else None
        start, followed = torch.from_numpy(noise.images), load_trajectories(given.trajectories)[1]
        own = followed["network"]
        chosen = to_float(bank.images[chosen_images(bank, seeds, told)])
        at = range(0, len(own.times) - 1, settings.every)
        states = {
            "network": {own.times[i]: torch.from_numpy(own.states[i]) for i in at},
            "noised": {own.times[i]: noised(chosen, start, own.times[i]) for i in at},
        }
        predict, tables = {"network": network_x0(network, labels)}, []
        for name in settings.machines:
            machine = machine_of_bank(name, bank, settings, snakemake.threads)
            needed = scales if machine.needs_scales else None
            predict[name] = machine_x0(machine, labels, needed)
            for kind, of_kind in states.items():
                table = single_steps(predict[name], predict["network"], of_kind, seeds)
                tables.append(table.assign(machine=name, states=kind))
            for i in at:
                r = pearson_r(followed[name].means[i], own.means[i])
                table = pd.DataFrame({"t": own.times[i], "seed": seeds, "pearson_r": r})
                tables.append(table.assign(machine=name, states="machine"))
        where = {"network": snakemake.wildcards.network}
        pd.concat(tables).assign(**where).to_csv(made.steps, index=False)
        table = hybrids(predict["is"], predict["network"], start, settings.steps, seeds)
        table.assign(**where).to_csv(made.hybrids, index=False)
