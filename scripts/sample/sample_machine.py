"""Run a machine from a shard of the seeds."""

from pathlib import Path

import torch

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.audit import describe, summarise
from patchmosaic.machines.base import CandidateMachine
from patchmosaic.machines.build import build_machine, settings_of
from patchmosaic.machines.own import OwnMachine
from patchmosaic.sampling.protocols import protocol
from patchmosaic.sampling.sampler import machine_x0, sample, visited_times
from patchmosaic.sampling.samples import Samples, load_samples, save_samples
from patchmosaic.sampling.scales import read_scales, shifted_scales
from patchmosaic.sampling.trajectories import gathered, save_trajectories
from patchmosaic.system.console import logged
from patchmosaic.system.devices import choose_device
from patchmosaic.system.records import load_record

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings, name = snakemake.params, snakemake.wildcards.machine
        conditional = settings.conditional
        bank, size = load_images(snakemake.input.bank), settings.shard_size
        first = int(snakemake.wildcards.shard) * size
        noise = load_samples(Path(snakemake.input.noise)).part(first, first + size)
        labels = noise.labels if conditional else None
        scales = read_scales(Path(snakemake.input.scales)) if snakemake.input.scales else None
        if scales and settings.patch_size:
            scales = dict.fromkeys(scales, settings.patch_size)
        elif scales:
            scales = shifted_scales(scales, settings.scales_shift)
        if scales and settings.protocol != "ours":
            scales = protocol(settings.protocol).scales(scales)
        device, module_sha256 = choose_device(settings.device), None
        if settings.own:
            module, own_record = map(Path, snakemake.input.own)
            module_sha256 = load_record(own_record)["module_sha256"]

        def machine_of(engine):
            images = to_float(bank).to(device)
            of_classes = torch.from_numpy(bank.labels) if conditional else None
            if settings.own:
                border = {"boundary": settings.boundary, "sha256": module_sha256}
                return OwnMachine(images, of_classes, module, **settings.own, **border)
            return build_machine(
                name,
                images,
                of_classes,
                boundary=settings.boundary,
                candidates=settings.candidates,
                engine=engine,
                threads=snakemake.threads,
                filters=Path(snakemake.input.filters) if snakemake.input.get("filters") else None,
                **({"tolerance": adaptive["tolerance"]} if adaptive else {}),
            )

        def run(engine):
            """The machine, its images, and x_t and x_0 at every step of those that are followed."""
            visited, machine = [], machine_of(engine)
            images = sample(
                machine_x0(machine, None if labels is None else torch.from_numpy(labels), scales),
                torch.from_numpy(noise.images).to(device),
                settings.steps,
                settings.start,
                description=f"{snakemake.wildcards.network} {name}",
                observe=lambda _, *pair: visited.append([x[:followed].cpu() for x in pair]),
                protocol=settings.protocol,
            )
            return machine, images.cpu(), visited

        adaptive, audit = settings.adaptive, None
        followed = max(settings.followed - first, 0)
        machine, images, visited = run(settings.engine)
        has_engine = isinstance(machine, CandidateMachine)
        if has_engine and machine.audits:
            audit = summarise(machine.audits, machine.tolerance)
            print(f"audited error of the posterior mean: {describe(audit)}")
            if audit["beyond"] and adaptive["beyond"] == "exact":
                print("sampling again with the exact engine")
                machine, images, visited = run("exact")
        record = {
            "machine": name,
            "settings": settings.own["settings"] if settings.own else settings_of(machine),
            "engine": machine.engine if has_engine else "torch",
            "audit": audit,
            "device": device.type,
            "module_sha256": module_sha256,
            "steps": settings.steps,
            "start": settings.start,
            "protocol": settings.protocol,
            "patch_size": settings.patch_size,
            "scales_shift": settings.scales_shift,
            "bank_images": len(bank),
            "flips": bank.record["flips"],
            "bank_sha256": bank.digest,
            "noise_sha256": noise.record["sha256"],
        }
        result = Samples(images.numpy(), noise.seeds, labels, record)
        save_samples(Path(snakemake.output[0]), result)
        if settings.followed:
            times = visited_times(settings.steps, settings.start, settings.protocol)
            trajectory = gathered(times, visited, images[:followed])
            seeds = noise.seeds[:followed].tolist()
            save_trajectories(Path(snakemake.output.trajectories), seeds, {name: trajectory})
