"""Draw which training images the pixels of an ELS machine's sample come from, over time."""

from pathlib import Path

import numpy as np
import torch

from patchmosaic.analysis.patch_origins import provenance
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.figures.patch_origins import patch_provenance
from patchmosaic.figures.style import save_figure
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.sampler import machine_x0
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import read_scales, scale_at
from patchmosaic.sampling.schedule import alpha_bar, ddim, reverse_times
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings = snakemake.params
        noise = load_samples(Path(snakemake.input.noise)).part(0, 1)
        images = load_images(snakemake.input.bank)
        chosen, name = np.arange(len(images)), snakemake.wildcards.network
        if settings.conditional:
            label = noise.labels[0]
            chosen = np.flatnonzero(images.labels == label)
            name = f"{name}, {images.class_names[label]}"
        chosen = chosen[: settings.images]
        bank, ids = to_float(images.images[chosen]), images.ids[chosen]
        scales = read_scales(Path(snakemake.input.scales))
        border = {"boundary": settings.boundary, "candidates": settings.candidates}
        machine = EquivariantLocalScoreMachine(
            bank, engine=settings.engine, threads=snakemake.threads, **border
        )
        visited = []
        ddim(
            machine_x0(machine, None, scales),
            torch.from_numpy(noise.images),
            reverse_times(settings.steps, settings.start),
            lambda *moment: visited.append(moment),
        )
        moments = []
        for share in settings.moments:
            t, x_t, mean = visited[int(share * (len(visited) - 1))]
            size = scale_at(scales, t)
            found = provenance(x_t[0], bank, alpha_bar(t), size, **border)
            moments.append((t, size, x_t[0], mean[0], found))
        figure = patch_provenance(
            moments, bank, ids, f"{name}: seed {noise.seeds[0]}, bank of {len(bank)} images"
        )
        for path in snakemake.output:
            save_figure(figure, path)
