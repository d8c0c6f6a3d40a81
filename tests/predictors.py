"""Made images and queries, and comparison with brute force, for the tests of the predictors."""

import math

import numpy as np
import torch

from patchmosaic.machines.distilled import SETTINGS, Correction, save_corrections
from patchmosaic.sampling.schedule import alpha_bar

TIMES = (0.05, 0.3, 0.7, 1.0)


def images(count=60, channels=1, side=4, seed=0):
    """Smooth random images in [-1, 1], (N, C, H, W) float64: neighbours are correlated."""
    random = np.random.default_rng(seed)
    small = random.uniform(-1, 1, (count, channels, side // 2, side // 2))
    noise = random.uniform(-1, 1, (count, channels, side, side))
    return torch.from_numpy(0.7 * small.repeat(2, 2).repeat(2, 3) + 0.3 * noise)


def queries(bank, t, count=2, seed=1):
    random = np.random.default_rng(seed)
    noise = torch.from_numpy(random.standard_normal((count, *bank.shape[1:])))
    return math.sqrt(alpha_bar(t)) * bank[:count] + math.sqrt(1 - alpha_bar(t)) * noise


def check(machine, reference, bank, patch_size=None, tolerance=1e-9):
    for t in TIMES:
        x = queries(bank, t)
        mean = machine.posterior_mean(x, alpha_bar(t), patch_size)
        for query, found in zip(x, mean, strict=True):
            expected = reference(query.numpy(), bank.numpy(), alpha_bar(t))
            assert np.abs(found.numpy() - expected).max() < tolerance


def made_filters(folder, bank, labels, *alpha_bars):
    """A file of small random corrections at these levels, as if of a network."""
    random = torch.Generator().manual_seed(0)
    known = torch.tensor([-1]) if labels is None else labels.unique()
    n, k = bank[0].numel(), len(known)

    def draw(*shape):
        return torch.randn(*shape, generator=random, dtype=torch.float64) / 10 / n

    corrections = [Correction(a, known, draw(n, n), draw(k, n), draw(k, n)) for a in alpha_bars]
    path = folder / "filters.npz"
    save_corrections(path, corrections, dict.fromkeys(SETTINGS, 0))
    return path
