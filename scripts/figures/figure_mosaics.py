"""Draw mosaics of a black and a white training image, with steps small and too large."""

import torch

from patchmosaic.analysis.consistency import (
    black_and_white,
    constant_scale_samples,
    inconsistent_pixels,
)
from patchmosaic.figures.mosaics import mosaics
from patchmosaic.figures.style import save_figure
from patchmosaic.machines.local import LocalScoreMachine
from patchmosaic.sampling.sampler import seed_noise
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        torch.set_num_threads(snakemake.threads)
        settings = snakemake.params
        bank = black_and_white(settings.size)
        # The patches of a constant image are the same everywhere, so LS, which is quick, is ELS.
        machine = LocalScoreMachine(bank, boundary="circular", engine="dense")
        noise = seed_noise(list(range(settings.seeds)), tuple(bank.shape[1:]))
        images, inconsistent = {}, {}
        for patch_size in settings.patch_sizes:
            for steps in settings.steps:
                cell = patch_size, steps
                images[cell] = constant_scale_samples(machine, noise, patch_size, steps)
                inconsistent[cell] = inconsistent_pixels(machine, images[cell], patch_size)
        figure = mosaics(images, inconsistent)
        for path in snakemake.output:
            save_figure(figure, path)
